import type { FdSource } from '../../fds/borrow.js'
import type { FdSet } from '../../fds/fdset.js'
import { closeSet } from '../../fds/release.js'
import { checkDescriptor, describeSocket } from '../../open/adopt.js'
import { checkCallOptions } from '../../options/check.js'
import { errorCode, FdwireError, isDisconnected } from '../../util/errors.js'
import { ProtocolError } from './errors.js'
import type { Received } from './options.js'
import { ReplyFds, type ServiceFds } from './reply-fds.js'
import { parseServiceArgs } from './service-args.js'
import {
  decodeMessage,
  decodeMethod,
  encodeException,
  encodeReply,
  isFalsy,
} from './service-messages.js'
import { checkServiceSocket, Socket } from './socket.js'

export type { ServiceFds } from './reply-fds.js'

/** Options of a `Service`. Either `fd` or `socket` is required. */
export interface ServiceOptions {
  /** The id that the client has given it (`''`). */
  id?: string | undefined
  /** The descriptor of a connected seqpacket socket, which the service owns afterwards. */
  fd?: number | undefined
  /** A connected Socket of type `'seqpacket'`. */
  socket?: Socket | undefined
  /** The other arguments of its command line ([]). */
  args?: readonly string[] | undefined
}

/**
 * The result of `dispatch`: the result of the method, and its descriptors, which are then closed.
 */
export type Dispatched = readonly [result: unknown, fds?: ServiceFds | null | undefined]

/** Signals that `main` ignores, because a client stops its services itself, in its own order. */
const IGNORED_SIGNALS = ['SIGTERM', 'SIGINT'] as const

/**
 * Answers the calls of one client, one after another. Subclasses override `dispatch`.
 *
 * A process that a `ServiceClient` has started usually runs one service:
 * `await MyService.fromArgs().main()`.
 */
export class Service {
  /** The id that the client has given it. */
  readonly id: string
  /** The other arguments of its command line. */
  readonly args: readonly string[]
  /** The socket to the client. */
  readonly socket: Socket

  /**
   * Makes a service on a connected seqpacket socket.
   *
   * # Errors
   * TypeError; ERR_FDWIRE_WRONG_SOCKET and other errors of `Socket.newFromFd`. If this throws, the
   * caller still owns the descriptor.
   */
  constructor(options: ServiceOptions) {
    checkCallOptions('Service', options, ['id', 'fd', 'socket', 'args'])
    const { id = '', fd, socket, args = [] } = options
    this.id = String(id)
    this.args = args
    this.socket = socket === undefined ? socketOf(fd) : checkServiceSocket('Service', socket)
  }

  /**
   * Makes a service from a command line: `--service-id ID --service-fd FD` and `args`.
   *
   * # Errors
   * TypeError for a missing option; those of the constructor.
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
   * Executes a method and returns `[result, fds]`, or a promise of it. Subclasses override it.
   *
   * The returned descriptors are closed after the reply was sent. Those of the call (`fds`) are
   * closed then too: take the ones to keep. If this throws, the client receives an exception.
   */
  // biome-ignore lint/suspicious/noExplicitAny: the type of JSON.parse
  dispatch(..._: [method: string, args: any, fds: FdSet]): Dispatched | Promise<Dispatched> {
    throw new ProtocolError('Unknown method')
  }

  /**
   * Sends the client a signal, usually before the reply. Resolves when the kernel has taken it.
   *
   * Descriptors are borrowed, as by `send`. A client without a call in flight handles the signal
   * during its next call.
   *
   * # Errors
   * Those of `Socket.send`: EBADF for a closed descriptor, EPIPE if the client has closed.
   */
  async emitSignal(value: unknown, fds?: FdSet | Iterable<FdSource>): Promise<void> {
    await this.socket.send(encodeReply('signal', value), { fds })
  }

  /** Called by `main` after the client has closed. Subclasses override it to clean up. */
  stop(): void | Promise<void> {}

  /**
   * Serves until the client closes, as the only task of the process.
   *
   * Until then it ignores SIGTERM and SIGINT: a client stops its services by closing their sockets,
   * in its own order.
   *
   * # Errors
   * Those of `serve` and `stop`.
   */
  async main(): Promise<void> {
    for (const signal of IGNORED_SIGNALS) process.on(signal, ignore)
    try {
      await this.serve()
    } finally {
      try {
        await this.stop()
      } finally {
        for (const signal of IGNORED_SIGNALS) process.off(signal, ignore)
      }
    }
  }

  /**
   * Serves until the client closes, or sends an empty message. Then closes the socket.
   *
   * # Errors
   * The kernel's error if neither a reply nor an exception can be sent.
   */
  async serve(): Promise<void> {
    try {
      let call = await this.#next()
      while (call !== null) {
        await this.#answer(call)
        call = await this.#next()
      }
    } finally {
      await this.socket.close()
    }
  }

  /** Waits for the next call; null at the end. Answers malformed messages with an exception. */
  async #next(): Promise<Received | null> {
    let previous: unknown
    for (;;) {
      try {
        const call = await this.socket.recv()
        if (call === null || !isFalsy(call.payload)) return call
        call.fds.close()
        return null
      } catch (error) {
        if (errorCode(error) === 'ERR_FDWIRE_CLOSED') return null
        // Anything but the error of one message means that the socket has failed.
        if (!(error instanceof FdwireError) || error === previous) throw error
        previous = error
        await this.#sendException(new ProtocolError(error.message, { cause: error }))
      }
    }
  }

  async #answer({ payload, fds }: Received): Promise<void> {
    const replyFds = new ReplyFds()
    try {
      const reply = await this.#execute(payload, fds, replyFds)
      await this.socket.send(reply, { destination: undefined, fds: replyFds.sources })
    } catch (error) {
      await this.#sendException(error)
    } finally {
      closeSet(fds)
      await replyFds.close()
    }
  }

  /** Executes a call and returns the reply. Puts its descriptors into `replyFds`. */
  async #execute(payload: unknown, fds: FdSet, replyFds: ReplyFds): Promise<object> {
    const { type, data } = decodeMessage(payload)
    if (type !== 'method') throw new ProtocolError(`unknown message type: ${String(type)}`)
    const { name, args } = decodeMethod(data)
    const dispatched: unknown = await this.dispatch(name, args, fds)
    if (!Array.isArray(dispatched) || dispatched.length < 1 || dispatched.length > 2) {
      throw new TypeError(`dispatch of '${name}' must return [result] or [result, fds]`)
    }
    replyFds.take(dispatched[1])
    return encodeReply('reply', dispatched[0])
  }

  /** Sends an exception, shortened if it is too large. Does nothing if the client has closed. */
  async #sendException(error: unknown): Promise<void> {
    for (const shorten of [false, true]) {
      try {
        await this.socket.send(encodeException(error, shorten))
        return
      } catch (failure) {
        if (isDisconnected(failure)) return
        if (shorten) throw failure
      }
    }
  }
}

function socketOf(fd: unknown): Socket {
  if (fd === undefined) throw new TypeError('Service needs an fd or a socket')
  checkDescriptor('Service', fd)
  const needed = 'a service needs a connected seqpacket socket'
  describeSocket(fd, needed, ({ type, listening }) => type === 'seqpacket' && !listening)
  return Socket.newFromFd(fd)
}

function ignore(): void {}
