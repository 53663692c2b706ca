import type { ChildProcess } from 'node:child_process'
import type { FdSource } from '../../fds/borrow.js'
import type { FdSet } from '../../fds/fdset.js'
import { checkCallOptions, checkTimeout, checkWait, type WaitOptions } from '../../options/check.js'
import { checkFunction, describeValue } from '../../util/checks.js'
import { FdwireError } from '../../util/errors.js'
import { Queue } from '../../util/queue.js'
import { ProtocolError, RemoteError } from './errors.js'
import { closeSet } from './reply-fds.js'
import { Call, type OnSignal, type Reply } from './service-call.js'
import {
  decodeException,
  decodeMessage,
  decodeReply,
  encodeMethod,
  isFalsy,
} from './service-messages.js'
import { type Exit, ServiceProcess, type StartOptions } from './service-process.js'
import { checkCarrier, type Socket } from './socket.js'
import type { Received } from './socket-options.js'

export type { OnSignal, Reply } from './service-call.js'

/** Options of `call`; `timeout` (ms, 0: none) includes the wait for calls before it. */
export interface CallOptions extends WaitOptions {
  /** Who is told of signals; the next one comes when it is done, the promise it returns included. */
  onSignal?: OnSignal | undefined
}

/** Options of `callWithFds`. */
export interface CallWithFdsOptions extends CallOptions {
  /** Descriptors to send along; they are borrowed. */
  fds?: FdSet | Iterable<FdSource> | undefined
}

/** How long a service may take to end (ms). */
const STOP_TIMEOUT = 10_000

/** How long an error waits for the end of the process that it tells of (ms). */
const PATIENCE = 1_000

/** What sending fails with when the service is gone. */
const GONE = new Set(['EPIPE', 'ECONNRESET', 'ERR_FDWIRE_CLOSED'])

/**
 * Calls the methods of a service, which is a process of its own as a rule.
 *
 * The protocol has one call under way: further ones wait for their turn, in order. A call that is
 * given up (`timeout`, `signal`) keeps its turn until its reply has come, which is dropped.
 */
export class ServiceClient {
  /** The socket to the service. */
  readonly socket: Socket
  readonly #process: ServiceProcess | undefined
  readonly #waiting = new Queue<Call>()
  #running: Call | undefined
  /** Why no call is possible any more, where that isn't the service's end. */
  #broken: ProtocolError | undefined
  #stopping: Promise<Exit | null> | undefined

  private constructor(socket: Socket, process?: ServiceProcess) {
    this.socket = socket
    this.#process = process
  }

  /**
   * Starts a service: `command args… --service-id ID --service-fd FD extra…`.
   *
   * It has one end of a pair of sockets as descriptor FD, and /dev/null as stdin.
   *
   * # Errors
   * Those of `child_process.spawn`: ENOENT, EACCES …
   */
  static async start(
    command: string,
    args: readonly string[] = [],
    options: StartOptions = {},
  ): Promise<ServiceClient> {
    const [process, socket] = await ServiceProcess.start(command, args, options)
    return new ServiceClient(socket, process)
  }

  /** A client on a connected seqpacket socket, which is the client's from then on. */
  static over(socket: Socket): ServiceClient {
    return new ServiceClient(checkCarrier('ServiceClient.over', socket))
  }

  /** What the service is called; undefined where others have started it. */
  get id(): string | undefined {
    return this.#process?.id
  }

  /** The process of the service; undefined where others have started it. */
  get child(): ChildProcess | undefined {
    return this.#process?.child
  }

  /** Resolves when the process has ended; undefined where others have started it. */
  get exited(): Promise<Exit> | undefined {
    return this.#process?.exited
  }

  /**
   * Calls a method, and gives its result; descriptors that come with it are closed.
   *
   * # Errors
   * Those of `callWithFds`.
   */
  // biome-ignore lint/suspicious/noExplicitAny: what JSON.parse gives
  async call(method: string, args: unknown = [], options: CallOptions = {}): Promise<any> {
    checkCallOptions('call', options, ['onSignal', 'timeout', 'signal'])
    const { value, fds } = await this.#call('call', method, args, options)
    fds.close()
    return value
  }

  /**
   * Calls a method, and gives its result with the descriptors, which are yours to take or close.
   *
   * Arguments and descriptors are the caller's again when it returns, also where it has to wait for
   * its turn.
   *
   * # Errors
   * RemoteError for what the service has thrown. ProtocolError where the service has ended
   * (ERR_FDWIRE_CLOSED) or says what is none of the protocol. ERR_FDWIRE_TIMEOUT, AbortError: whether
   * the service works on it is unknown. What `onSignal` throws. ERR_FDWIRE_CLOSED after `stop()`; and
   * those of `send`, where nothing was sent.
   */
  callWithFds(
    method: string,
    args: unknown = [],
    options: CallWithFdsOptions = {},
  ): Promise<Reply> {
    return this.#call('callWithFds', method, args, options)
  }

  /**
   * Closes the socket, which ends the service, and waits for that; calls under way reject.
   *
   * A process that takes longer than `timeout` (ms, 10,000; 0: no limit) is killed. Gives how it has
   * ended, null where others have started it. A second call gives the same promise.
   */
  stop(options: { timeout?: number | undefined } = {}): Promise<Exit | null> {
    checkCallOptions('stop', options, ['timeout'])
    this.#stopping ??= this.#stop(checkTimeout(options.timeout, STOP_TIMEOUT))
    return this.#stopping
  }

  /** The same as `stop()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #stop(timeout: number): Promise<Exit | null> {
    // What it was sent and does not take is dropped with the process.
    const closed = this.socket.close().catch(() => {})
    const stopped = stoppedError()
    this.#running?.reject(stopped)
    while (this.#waiting.length > 0) this.#waiting.shift()?.reject(stopped)
    const exit = (await this.#process?.end(timeout)) ?? null
    await closed
    return exit
  }

  async #call(
    name: string,
    method: string,
    args: unknown,
    options: CallWithFdsOptions,
  ): Promise<Reply> {
    checkCallOptions(name, options, ['fds', 'onSignal', 'timeout', 'signal'])
    const { fds, timeout, signal } = options
    if (typeof method !== 'string' || method === '') {
      throw new TypeError(`${name} takes the name of a method, not ${describeValue(method)}`)
    }
    const onSignal = checkFunction<OnSignal>('onSignal', options.onSignal)
    const how = checkWait(name, { timeout, signal })
    if (this.#stopping !== undefined) throw stoppedError()
    if (this.#broken !== undefined) throw this.#broken
    const call = new Call(method, encodeMethod(method, args), fds, onSignal)
    if (this.#running !== undefined) call.keep()
    call.bound(how)
    this.#waiting.push(call)
    if (this.#running === undefined) this.#work()
    return call.reply
  }

  /** Makes one call after the other. */
  async #work(): Promise<void> {
    for (let call = this.#waiting.shift(); call !== undefined; call = this.#waiting.shift()) {
      if (call.settled) continue
      this.#running = call
      try {
        await this.#run(call)
      } catch (error) {
        call.reject(error)
      }
      this.#running = undefined
    }
  }

  async #run(call: Call): Promise<void> {
    if (this.#broken !== undefined) throw this.#broken
    try {
      await this.socket.send(call.message, { fds: call.fds })
    } catch (error) {
      if (!GONE.has((error as { code?: string }).code ?? '')) throw error
      throw await this.#ended(call, error)
    }
    call.release()
    while (!(await this.#take(call, await this.#next(call)))) {}
  }

  async #next(call: Call): Promise<Received> {
    let message: Received | null
    try {
      message = await this.socket.recv()
    } catch (error) {
      if ((error as { code?: string }).code === 'ERR_FDWIRE_CLOSED') {
        throw await this.#ended(call, error)
      }
      this.#break(error as Error)
      throw error
    }
    if (message === null) throw await this.#ended(call)
    return message
  }

  /** Works on what the service has sent; whether that was the end of the call. */
  async #take(call: Call, { payload, fds }: Received): Promise<boolean> {
    // biome-ignore lint/suspicious/noExplicitAny: what JSON.parse gives
    let data: any
    const type: unknown = payload?.type
    try {
      ;({ data } = decodeMessage(payload))
      if (type === 'exception') {
        const { name, value, backtrace } = decodeException(data)
        throw new RemoteError(name, value, backtrace)
      }
      if (type === 'reply') {
        call.resolve({ value: decodeReply(data), fds })
        return true
      }
      if (type === 'signal') await signalTo(call, decodeReply(data), fds)
    } catch (error) {
      call.reject(error)
      // It may have been the reply: nobody can tell whose the next one is.
      if (isFalsy(type)) this.#break(error as Error)
    }
    closeSet(fds)
    return type === 'reply' || type === 'exception' || this.#broken !== undefined
  }

  /** Ends what can't be understood any more. */
  #break(cause: Error): void {
    const message = `The connection to the service was given up: ${cause.message}`
    this.#broken = new ProtocolError(message, { ended: true, cause })
    this.socket.close().catch(() => {})
  }

  /** Why there is no reply: the service has ended, or the client was stopped. */
  async #ended({ method }: Call, cause?: unknown): Promise<FdwireError> {
    if (this.#stopping !== undefined) return stoppedError()
    const how = await this.#process?.tellEnd(PATIENCE)
    const message = `message empty: the service has ended before it replied to '${method}'`
    return new ProtocolError(how === undefined ? message : `${message} (${how})`, {
      ended: true,
      cause,
    })
  }
}

/** Tells of a signal, unless nobody waits for the call any more. */
async function signalTo(call: Call, value: unknown, fds: FdSet): Promise<void> {
  if (!call.settled) await call.onSignal?.(value, fds)
}

function stoppedError(): FdwireError {
  return new FdwireError('ERR_FDWIRE_CLOSED', 'The client was stopped before the reply came')
}
