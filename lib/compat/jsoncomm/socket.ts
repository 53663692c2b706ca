import { constants } from 'node:os'
import { Channel } from '../../channel/channel.js'
import { environment } from '../../native/environment.js'
import { adopt, checkDescriptor } from '../../open/adopt.js'
import { listen, listenOn } from '../../open/listen.js'
import type { Listener } from '../../open/listener.js'
import { bind, connect, pair } from '../../open/open.js'
import { type Address, isTcp } from '../../options/address.js'
import {
  checkCallOptions,
  checkOptions,
  checkWait,
  type SocketType,
  type WaitOptions,
} from '../../options/check.js'
import { checkBoolean, describeValue } from '../../util/checks.js'
import { closedError, systemError } from '../../util/errors.js'
import type { Message } from '../../wire/message.js'
import {
  type ClientOptions,
  type FromFdOptions,
  type PairOptions,
  type Received,
  type SendOptions,
  type ServerOptions,
  withProtocol,
} from './socket-options.js'

/**
 * A socket that carries one JSON text a datagram or record, with descriptors beside it.
 *
 * The vocabulary is that of osbuild's `jsoncomm.Socket`. What blocks there is a promise here, so
 * there is no `blocking`: nothing ever waits in a system call. A message waits in the kernel until
 * `recv` is called.
 */
export class Socket {
  /** Accepts connections; undefined unless this is a server of type `'seqpacket'`. */
  readonly listener: Listener | undefined
  readonly #channel: Channel | undefined
  /** Who is at the other end, which is known also when the socket has closed itself. */
  readonly #peer: Received['address'] = null
  /** What it listens with; undefined where others began that. */
  readonly #backlog: number | undefined
  #ended = false
  #closing: Promise<void> | undefined

  private constructor(over: Channel | Listener, backlog?: number) {
    // Of an error whoever receives, sends or accepts next is told, by a promise of theirs.
    if (!(over instanceof Channel)) {
      over.on('error', ignore)
      this.listener = over
      this.#backlog = backlog
      return
    }
    over.keepMalformed()
    over.on('error', ignore)
    over.on('end', () => {
      this.#ended = true
    })
    this.#channel = over
    this.#peer = nameOf(over.remoteAddress)
  }

  /**
   * A client. A datagram socket gets a name of the kernel's choice, and is connected where a path is
   * given; a seqpacket socket (`type`) needs one.
   *
   * # Errors
   * Those of `connect`: ENOENT, ECONNREFUSED, EPROTOTYPE …
   */
  static async newClient(connectTo?: Address, options: ClientOptions = {}): Promise<Socket> {
    const how = withProtocol('newClient', options)
    if (connectTo !== undefined) return new Socket(await connect(connectTo, how))
    if (options.type === 'seqpacket') {
      throw new TypeError('newClient: a seqpacket socket needs a path to connect to')
    }
    return new Socket(await bind('', how))
  }

  /**
   * A server at a path, which goes with it: even after chdir, or a rename of a directory above it.
   *
   * A datagram socket receives. One of type `'seqpacket'` listens from the beginning, with `backlog`
   * (connections, 511), and `accept()` gives the connections.
   *
   * # Errors
   * Those of `bind` and `listen`: EADDRINUSE, EEXIST, ENOENT …
   */
  static async newServer(bindTo: Address, options: ServerOptions = {}): Promise<Socket> {
    const how = withProtocol('newServer', options)
    if (options.type !== 'seqpacket') return new Socket(await bind(bindTo, how))
    const { backlog } = checkOptions('listen', how, bindTo)
    return new Socket(await listen(bindTo, how), backlog)
  }

  /** Two sockets that are connected with each other. */
  static newPair(options: PairOptions = {}): [Socket, Socket] {
    const [first, second] = pair(withProtocol('newPair', options))
    return [new Socket(first), new Socket(second)]
  }

  /**
   * A socket that this process was given, of either type, connected, bound or listening.
   *
   * It owns the descriptor from then on; with `closeFd: false` it owns a duplicate of it, and the
   * given one stays the caller's.
   *
   * # Errors
   * Those of `adopt`; then the descriptor is still the caller's.
   */
  static newFromFd(fd: number, options: FromFdOptions = {}): Socket {
    checkDescriptor('newFromFd', fd)
    const { closeFd, ...rest } = withProtocol('newFromFd', options)
    if ('type' in rest && rest.type !== undefined) {
      throw new TypeError('newFromFd has no option type: the socket has one already')
    }
    if (checkBoolean('closeFd', closeFd, true)) return Socket.#over(fd, rest)
    const own = environment.duplicate(fd)
    if (own < 0) throw systemError(own, 'fcntl')
    try {
      return Socket.#over(own, rest)
    } catch (error) {
      environment.closeDuplicate(own)
      throw error
    }
  }

  static #over(fd: number, rest: Omit<FromFdOptions, 'closeFd'> & { protocol: 'jsoncomm' }) {
    const found = environment.describe(fd)
    const type = found.errno === 0 && found.type === 'seqpacket' ? 'seqpacket' : 'dgram'
    const how = { ...rest, type } as const
    if (type === 'dgram' || !found.listening) return new Socket(adopt(fd, how))
    const address = { fd }
    return new Socket(listenOn(address, how, checkOptions('listen', how, address)))
  }

  /**
   * The channel underneath.
   *
   * # Errors
   * TypeError on a socket that listens: what it accepts has channels, and it has a `listener`.
   */
  get channel(): Channel {
    if (this.#channel !== undefined) return this.#channel
    throw new TypeError('This socket listens and has no channel: accept() gives sockets that do')
  }

  /** The socket's type. */
  get type(): Exclude<SocketType, 'stream'> {
    return this.#channel?.type === 'dgram' ? 'dgram' : 'seqpacket'
  }

  /**
   * Says that this socket listens, which one of type `'seqpacket'` does since `newServer`.
   *
   * # Errors
   * TypeError on a socket that does not listen, and for another `backlog` than it was made with.
   */
  listen(backlog?: number): void {
    this.#checkListens('listen')
    if (this.fileno() < 0) throw closedError('listen')
    if (backlog === undefined || backlog === this.#backlog) return
    const has = this.#backlog ?? 'what it was given with'
    throw new TypeError(
      `listen: the backlog is ${has} already, not ${describeValue(backlog)}: it is an option of newServer`,
    )
  }

  /**
   * Waits for a connection; null when the socket is closed meanwhile.
   *
   * # Errors
   * ERR_FDWIRE_TIMEOUT, AbortError: then no connection was taken. ERR_FDWIRE_CLOSED; TypeError on a
   * socket that does not listen.
   */
  async accept(options: WaitOptions = {}): Promise<Socket | null> {
    const how = checkWait('accept', options)
    const listener = this.#checkListens('accept')
    if (this.#closing !== undefined) throw closedError('accept')
    const channel = await listener.accept(how)
    return channel === null ? null : new Socket(channel)
  }

  /**
   * Sends a payload; resolves when the kernel has it.
   *
   * # Errors
   * Those of `Channel.send`, EPIPE when the peer of a seqpacket socket has gone, and why it was given
   * up where it had to wait.
   */
  async send(payload: unknown, options: SendOptions = {}): Promise<void> {
    checkCallOptions('send', options, ['destination', 'fds'])
    const { destination, fds } = options
    const channel = this.#connected('sendmsg')
    try {
      await channel.sendAndFlush(payload, { to: destination, fds })
    } catch (error) {
      throw this.#whyNotSent(error as Error & { code?: string })
    }
  }

  /**
   * Waits for a message; null when the socket is closed, or at the peer's end, for ever.
   *
   * # Errors
   * Rejects for a malformed message; the next call gives the one behind it. ERR_FDWIRE_TIMEOUT,
   * AbortError: then no message was taken. ERR_FDWIRE_CLOSED after `close()`.
   */
  async recv(options: WaitOptions = {}): Promise<Received | null> {
    const message = await this.#connected('recvmsg').receiveStrictly(options)
    return message === null ? null : this.#received(message)
  }

  /**
   * Sends a payload and waits for the answer.
   *
   * # Errors
   * Those of `Channel.request`.
   */
  async sendAndRecv(payload: unknown, options: SendOptions & WaitOptions = {}): Promise<Received> {
    checkCallOptions('sendAndRecv', options, ['destination', 'fds', 'timeout', 'signal'])
    const { destination, fds, timeout, signal } = options
    const request = { to: destination, fds, timeout, signal }
    return this.#received(await this.#connected('sendmsg').request(payload, request))
  }

  /** The descriptor's number, lent; -1 once the socket is closed. */
  fileno(): number {
    return (this.#channel ?? (this.listener as Listener)).fd
  }

  /** Sends what waits, closes, and removes the path of a server. A second call does nothing more. */
  close(): Promise<void> {
    this.#closing ??= (this.#channel ?? (this.listener as Listener)).close()
    return this.#closing
  }

  /** The same as `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #received({ value, fds, from }: Message): Received {
    return { payload: value, fds, address: from === undefined ? this.#peer : from }
  }

  #checkListens(call: string): Listener {
    if (this.listener !== undefined) return this.listener
    const why =
      this.type === 'dgram' ? 'a datagram socket takes no connections' : 'this one is connected'
    throw new TypeError(`${call}: ${why}; newServer(path, { type: 'seqpacket' }) listens`)
  }

  /** What messages go through; the kernel's own answer where there is nobody. */
  #connected(syscall: string): Channel {
    if (this.#channel !== undefined) return this.#channel
    const error = systemError(constants.errno.ENOTCONN, syscall)
    error.message += ': this socket listens, messages go through what accept() gives'
    throw error
  }

  /** A socket closes itself at the peer's end; what the kernel would say to a message after it. */
  #whyNotSent(error: Error & { code?: string }): Error {
    const isGone = error.code === 'ERR_FDWIRE_CLOSED' && this.#ended && this.#closing === undefined
    if (!isGone) return error
    return Object.assign(systemError(constants.errno.EPIPE, 'sendmsg'), { cause: error })
  }
}

/** Checks that a socket can carry the service protocol, which needs to know the peer's end. */
export function checkCarrier(call: string, socket: unknown): Socket {
  if (socket instanceof Socket && socket.listener === undefined && socket.type === 'seqpacket') {
    return socket
  }
  throw new TypeError(`${call} needs a connected Socket of type 'seqpacket'`)
}

function nameOf(address: Channel['remoteAddress']): Received['address'] {
  return isTcp(address) ? null : (address ?? null)
}

function ignore(): void {}
