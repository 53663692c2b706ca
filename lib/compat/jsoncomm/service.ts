import type { FdSource } from '../../fds/borrow.js'
import type { FdSet } from '../../fds/fdset.js'
import { environment } from '../../native/environment.js'
import { checkCallOptions } from '../../options/check.js'
import { isDescriptor } from '../../util/descriptor.js'
import { FdwireError } from '../../util/errors.js'
import { ProtocolError } from './errors.js'
import { closeSet, ReplyFds, type ServiceFds } from './reply-fds.js'
import { parseServiceArgs } from './service-args.js'
import {
  decodeMessage,
  decodeMethod,
  encodeException,
  encodeReply,
  isFalsy,
} from './service-messages.js'
import { checkCarrier, Socket } from './socket.js'
import type { Received } from './socket-options.js'

export type { ServiceFds } from './reply-fds.js'

/** What a service is made of. */
export interface ServiceOptions {
  /** What the client calls it (`''`). */
  id?: string | undefined
  /** Its end of the pair, by number; it is the service's from then on. */
  fd?: number | undefined
  /** Or as a socket. */
  socket?: Socket | undefined
  /** What else stood in its command line. */
  args?: readonly string[] | undefined
}

/** What `dispatch` gives: the result, and descriptors, which are closed when they are sent. */
export type Dispatched = readonly [result: unknown, fds?: ServiceFds | null | undefined]

/** What a process that shall end in its turn does not heed. */
const IGNORED = ['SIGTERM', 'SIGINT'] as const

/** What sending fails with when nobody is there any more. */
const GONE = new Set(['EPIPE', 'ECONNRESET', 'ECONNREFUSED', 'ENOTCONN', 'ERR_FDWIRE_CLOSED'])

/**
 * Answers calls over one socket, one after the other: subclass it, and override `dispatch`.
 *
 * Usually it is a process of its own, that a `ServiceClient` has started:
 * `await MyService.fromArgs().main()`.
 */
export class Service {
  /** What the client calls it. */
  readonly id: string
  /** What else stood in its command line. */
  readonly args: readonly string[]
  /** The socket to the client. */
  readonly socket: Socket

  /**
   * A service on a connected seqpacket socket.
   *
   * # Errors
   * TypeError; ERR_FDWIRE_WRONG_SOCKET, and those of `Socket.newFromFd`: then the descriptor is still
   * the caller's.
   */
  constructor(options: ServiceOptions) {
    checkCallOptions('Service', options, ['id', 'fd', 'socket', 'args'])
    const { id = '', fd, socket, args = [] } = options
    this.id = String(id)
    this.args = args
    this.socket = socket === undefined ? socketOf(fd) : checkCarrier('Service', socket)
  }

  /**
   * A service as a command line says: `--service-id ID --service-fd FD`, and what is left is `args`.
   *
   * # Errors
   * TypeError where one of these is missing; those of the constructor.
   */
  static fromArgs<S extends Service>(
    this: new (
      options: ServiceOptions,
    ) => S,
    argv: readonly string[] = process.argv.slice(2),
  ): S {
    return new this(parseServiceArgs(argv))
  }

  /**
   * Does what a method is for; override it.
   *
   * It returns `[result, fds]`, or a promise for that. Descriptors of the reply are closed when it is
   * sent, those of the request when it is answered: take what you keep. What it throws the client gets
   * as an exception.
   */
  // biome-ignore lint/suspicious/noExplicitAny: what JSON.parse gives
  dispatch(..._: [method: string, args: any, fds: FdSet]): Dispatched | Promise<Dispatched> {
    throw new ProtocolError('Unknown method')
  }

  /**
   * Sends the client something while it waits for its reply; resolves when the kernel has it.
   *
   * Descriptors are borrowed, as by `send`. A signal outside of a call is told during the next one.
   *
   * # Errors
   * Those of `Socket.send`: EBADF for a descriptor that is not open, EPIPE when the client has gone.
   */
  async emitSignal(value: unknown, fds?: FdSet | Iterable<FdSource>): Promise<void> {
    await this.socket.send(encodeReply('signal', value), { fds })
  }

  /** Called by `main` when the client has gone: override it to clean up. */
  stop(): void | Promise<void> {}

  /**
   * Serves until the client has gone, as the only thing that this process does.
   *
   * SIGTERM and SIGINT are ignored meanwhile: who has started several services ends them in its order.
   *
   * # Errors
   * Those of `serve` and `stop`.
   */
  async main(): Promise<void> {
    for (const signal of IGNORED) process.on(signal, ignore)
    try {
      await this.serve()
    } finally {
      try {
        await this.stop()
      } finally {
        for (const signal of IGNORED) process.off(signal, ignore)
      }
    }
  }

  /**
   * Serves until the client has gone, or asks with an empty message; then the socket is closed.
   *
   * # Errors
   * The kernel's, where not even an exception can be sent.
   */
  async serve(): Promise<void> {
    try {
      let request = await this.#next()
      while (request !== null) {
        await this.#answer(request)
        request = await this.#next()
      }
    } finally {
      await this.socket.close()
    }
  }

  /** The next request; null when there is none any more. What is malformed is answered here. */
  async #next(): Promise<Received | null> {
    let before: unknown
    for (;;) {
      try {
        const request = await this.socket.recv()
        if (request === null || !isFalsy(request.payload)) return request
        request.fds.close()
        return null
      } catch (error) {
        if ((error as { code?: string }).code === 'ERR_FDWIRE_CLOSED') return null
        // What is not of one message, or comes again, is how the socket has failed.
        if (!(error instanceof FdwireError) || error === before) throw error
        before = error
        await this.#tell(new ProtocolError(error.message, { cause: error }))
      }
    }
  }

  async #answer({ payload, fds }: Received): Promise<void> {
    const given = new ReplyFds()
    try {
      const reply = await this.#run(payload, fds, given)
      await this.socket.send(reply, { fds: given.sources })
    } catch (error) {
      // Where the client has gone, this can't be told either.
      await this.#tell(error)
    } finally {
      closeSet(fds)
      await given.close()
    }
  }

  /** Calls the method that is asked for; the reply. */
  async #run(payload: unknown, fds: FdSet, given: ReplyFds): Promise<object> {
    const { type, data } = decodeMessage(payload)
    if (type !== 'method') throw new ProtocolError(`unknown message type: ${String(type)}`)
    const { name, args } = decodeMethod(data)
    const dispatched: unknown = await this.dispatch(name, args, fds)
    if (!Array.isArray(dispatched) || dispatched.length < 1 || dispatched.length > 2) {
      throw new TypeError(`dispatch of '${name}' must return [result, fds]`)
    }
    given.take(dispatched[1])
    return encodeReply('reply', dispatched[0])
  }

  /** Sends an exception, as much of it as can be sent. */
  async #tell(error: unknown): Promise<void> {
    for (const brief of [false, true]) {
      try {
        await this.socket.send(encodeException(error, brief))
        return
      } catch (failure) {
        if (GONE.has((failure as { code?: string }).code ?? '')) return
        if (brief) throw failure
      }
    }
  }
}

function socketOf(fd: unknown): Socket {
  if (fd === undefined) throw new TypeError('Service needs an fd or a socket')
  const found = isDescriptor(fd) ? environment.describe(fd) : undefined
  if (found?.errno === 0 && (found.type !== 'seqpacket' || found.listening)) {
    throw new FdwireError(
      'ERR_FDWIRE_WRONG_SOCKET',
      `Descriptor ${fd} is a ${environment.kindOf(fd as number)}: a service needs a connected seqpacket socket`,
    )
  }
  return Socket.newFromFd(fd as number)
}

function ignore(): void {}
