import type { ChildProcess } from 'node:child_process'
import type { FdSource } from '../../fds/borrow.js'
import type { FdSet } from '../../fds/fdset.js'
import { closeSet } from '../../fds/release.js'
import { checkCallOptions, checkTimeout, checkWait, type WaitOptions } from '../../options/check.js'
import { checkFunction, describeValue } from '../../util/checks.js'
import { errorCode, FdwireError } from '../../util/errors.js'
import { NO_OPTIONS } from '../../util/no-options.js'
import { Queue } from '../../util/queue.js'
import { ProtocolError, RemoteError } from './errors.js'
import type { Received } from './options.js'
import { Call, type OnSignal, type Reply } from './service-call.js'
import {
  decodeException,
  decodeMessage,
  decodeReply,
  encodeMethod,
  isFalsy,
} from './service-messages.js'
import { type Exit, ServiceProcess, type StartOptions } from './service-process.js'
import { checkServiceSocket, type Socket } from './socket.js'

export type { OnSignal, Reply } from './service-call.js'

/** Options of `call`. `timeout` (ms, default 0: no limit) includes the wait for earlier calls. */
export interface CallOptions extends WaitOptions {
  /**
   * Handles the signals that arrive before the reply. Without it they are dropped. The client
   * handles the next message after the handler has returned, or after its promise has settled.
   */
  onSignal?: OnSignal | undefined
}

/** Options of `callWithFds`. */
export interface CallWithFdsOptions extends CallOptions {
  /** Descriptors to send with the call. They are borrowed: the caller still owns them. */
  fds?: FdSet | Iterable<FdSource> | undefined
}

/** How long a service may take to exit after its socket was closed, before it is killed (ms). */
const STOP_TIMEOUT = 10_000

/** How long to wait for the exit of a process, so that an error can describe it (ms). */
const EXIT_TIMEOUT = 1_000

/** The codes with which sending fails after the service has closed its socket. */
const SERVICE_CLOSED: readonly unknown[] = [
  'EPIPE',
  'ECONNRESET',
  'ERR_FDWIRE_CLOSED',
  'ERR_FDWIRE_PEER_CLOSED',
]

/**
 * Calls the methods of a service, which usually runs in its own process.
 *
 * The protocol allows one call in flight: further calls wait for their turn, in order. An abandoned
 * call (`timeout`, `signal`) keeps its turn until its reply arrives, which is dropped.
 */
export class ServiceClient {
  /** The socket to the service. */
  readonly socket: Socket
  readonly #process: ServiceProcess | undefined
  /** The calls that wait for their turn. */
  readonly #queue = new Queue<Call>()
  /** The call in flight. */
  #current: Call | undefined
  /** The error of all further calls, after the service has violated the protocol. */
  #broken: ProtocolError | undefined
  #stopping: Promise<Exit | null> | undefined

  private constructor(socket: Socket, process?: ServiceProcess) {
    this.socket = socket
    this.#process = process
  }

  /**
   * Starts a service: `command args… --service-id ID --service-fd FD extra…`.
   *
   * Descriptor FD of the child process is one end of a socket pair; its stdin is /dev/null.
   *
   * # Errors
   * Those of `child_process.spawn`: ENOENT, EACCES …
   */
  static async start(
    command: string,
    args: readonly string[] = [],
    options: StartOptions = NO_OPTIONS,
  ): Promise<ServiceClient> {
    const [process, socket] = await ServiceProcess.start(command, args, options)
    return new ServiceClient(socket, process)
  }

  /**
   * Makes a client on a connected seqpacket socket, which the client owns afterwards.
   *
   * # Errors
   * TypeError for another socket.
   */
  static over(socket: Socket): ServiceClient {
    return new ServiceClient(checkServiceSocket('ServiceClient.over', socket))
  }

  /** The id of the service; undefined unless the client has started it. */
  get id(): string | undefined {
    return this.#process?.id
  }

  /** The process of the service; undefined unless the client has started it. */
  get child(): ChildProcess | undefined {
    return this.#process?.child
  }

  /** Resolves when the process has ended; undefined unless the client has started it. */
  get exited(): Promise<Exit> | undefined {
    return this.#process?.exited
  }

  /**
   * Calls a method and returns its result. Closes descriptors that come with it.
   *
   * # Errors
   * Those of `callWithFds`.
   */
  // biome-ignore lint/suspicious/noExplicitAny: the type of JSON.parse
  async call(method: string, args: unknown = [], options: CallOptions = NO_OPTIONS): Promise<any> {
    checkCallOptions('call', options, ['onSignal', 'timeout', 'signal'])
    const { value, fds } = await this.#call('call', method, args, options)
    fds.close()
    return value
  }

  /**
   * Calls a method and returns its result with its descriptors, which the caller owns.
   *
   * Arguments and descriptors may be changed or closed as soon as this returns its promise, even if
   * the call has to wait for its turn.
   *
   * # Errors
   * RemoteError for an exception of the service; ProtocolError with ERR_FDWIRE_PEER_CLOSED if the
   * service has ended (its message says how), with ERR_FDWIRE_BAD_BODY if it sent an invalid message;
   * ERR_FDWIRE_TIMEOUT and AbortError, after which the service may still execute the method; the
   * exception of `onSignal`;
   * ERR_FDWIRE_CLOSED after `stop()`; those of `send`, after which nothing was sent.
   */
  callWithFds(
    method: string,
    args: unknown = [],
    options: CallWithFdsOptions = NO_OPTIONS,
  ): Promise<Reply> {
    return this.#call('callWithFds', method, args, options)
  }

  /**
   * Closes the socket, which ends the service, and waits for its exit. Pending calls reject.
   *
   * A process that takes longer than `timeout` (ms, 10,000; 0: no limit) is killed. Resolves to how
   * the process has ended, or to null if the client has not started it. A second call returns the
   * same promise.
   */
  stop(options: { timeout?: number | undefined } = NO_OPTIONS): Promise<Exit | null> {
    checkCallOptions('stop', options, ['timeout'])
    this.#stopping ??= this.#stop(checkTimeout(options.timeout, STOP_TIMEOUT))
    return this.#stopping
  }

  /** The same as `stop()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #stop(timeout: number): Promise<Exit | null> {
    // Closing fails if the service does not take all messages. They are dropped.
    const closed = this.socket.close().catch(() => {})
    const error = stoppedError()
    this.#current?.reject(error)
    while (this.#queue.length > 0) this.#queue.shift()?.reject(error)
    const exit = (await this.#process?.waitOrKill(timeout)) ?? null
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
    const limits = checkWait(name, { timeout, signal })
    if (this.#stopping !== undefined) throw stoppedError()
    if (this.#broken !== undefined) throw this.#broken
    const call = new Call(method, encodeMethod(method, args), fds, onSignal)
    if (this.#current !== undefined) call.copyArguments()
    call.startLimits(limits)
    this.#queue.push(call)
    if (this.#current === undefined) this.#runQueue()
    return call.reply
  }

  /** Runs the queued calls one after another. */
  async #runQueue(): Promise<void> {
    for (let call = this.#queue.shift(); call !== undefined; call = this.#queue.shift()) {
      if (call.isSettled) continue
      this.#current = call
      try {
        await this.#run(call)
      } catch (error) {
        call.reject(error)
      }
      this.#current = undefined
    }
  }

  async #run(call: Call): Promise<void> {
    if (this.#broken !== undefined) throw this.#broken
    try {
      await this.socket.send(call.message, { destination: undefined, fds: call.fds })
    } catch (error) {
      if (!SERVICE_CLOSED.includes(errorCode(error))) throw error
      throw await this.#endError(call, error)
    }
    call.releaseFds()
    while (!(await this.#handle(call, await this.#next(call)))) {}
  }

  async #next(call: Call): Promise<Received> {
    let message: Received | null
    try {
      message = await this.socket.recv()
    } catch (error) {
      if (errorCode(error) === 'ERR_FDWIRE_CLOSED') throw await this.#endError(call, error)
      this.#break(error as Error)
      throw error
    }
    if (message === null) throw await this.#endError(call)
    return message
  }

  /** Handles a message of the service. Returns whether the call has ended. */
  async #handle(call: Call, { payload, fds }: Received): Promise<boolean> {
    // biome-ignore lint/suspicious/noExplicitAny: the type of JSON.parse
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
      if (type === 'signal') {
        const value = decodeReply(data)
        if (!call.isSettled) await call.onSignal?.(value, fds)
      }
    } catch (error) {
      call.reject(error)
      // It may have been the reply: later replies could no longer be matched to calls.
      if (isFalsy(type)) this.#break(error as Error)
    }
    closeSet(fds)
    return type === 'reply' || type === 'exception' || this.#broken !== undefined
  }

  /** Closes a connection whose messages can no longer be matched to calls. */
  #break(cause: Error): void {
    const message = `The connection to the service was closed: ${cause.message}`
    this.#broken = new ProtocolError(message, { code: 'ERR_FDWIRE_CLOSED', cause })
    this.socket.close().catch(() => {})
  }

  /**
   * Returns the error of a call without a reply: the service has ended, or the client was stopped.
   */
  async #endError({ method }: Call, cause?: unknown): Promise<FdwireError> {
    if (this.#stopping !== undefined) return stoppedError()
    const exit = await this.#process?.describeExit(EXIT_TIMEOUT)
    const message = `message empty: the service ended before it replied to '${method}'`
    return new ProtocolError(exit === undefined ? message : `${message} (${exit})`, {
      code: 'ERR_FDWIRE_PEER_CLOSED',
      cause,
    })
  }
}

function stoppedError(): FdwireError {
  return new FdwireError('ERR_FDWIRE_CLOSED', 'The client was stopped before the reply arrived')
}
