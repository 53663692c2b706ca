import { constants } from 'node:os'
import { Channel, coreOf } from '../../channel/channel.js'
import { closeDuplicate, duplicateFd } from '../../fds/descriptors.js'
import { adopt, checkDescriptor, checkUnowned, describeSocket } from '../../open/adopt.js'
import { bind } from '../../open/bind.js'
import { connect } from '../../open/connect.js'
import { listen, listenOn } from '../../open/listen.js'
import { acceptConnection, type Listener } from '../../open/listener.js'
import { pair } from '../../open/pair.js'
import { type Address, isTcp } from '../../options/address.js'
import {
  checkCallOptions,
  checkOptions,
  checkWait,
  type SocketType,
  type WaitOptions,
} from '../../options/check.js'
import { checkBoolean, describeValue } from '../../util/checks.js'
import { closedError, errorCode, systemError } from '../../util/errors.js'
import { NO_OPTIONS } from '../../util/no-options.js'
import type { Message } from '../../wire/message.js'
import {
  type ClientOptions,
  type FromFdOptions,
  type PairOptions,
  type Received,
  type SendOptions,
  type ServerOptions,
  withProtocol,
} from './options.js'

/**
 * A datagram or seqpacket socket whose messages are JSON, with descriptors.
 *
 * Names are those of osbuild's `jsoncomm.Socket`. Calls that block there return a promise here, so
 * the option `blocking` does not exist. A message stays in the kernel until `recv` takes it.
 */
export class Socket {
  /** Accepts connections; undefined unless this is a server of type `'seqpacket'`. */
  readonly listener: Listener | undefined
  readonly #channel: Channel | undefined
  /** The peer's address, which stays known after the socket has closed itself. */
  readonly #peer: Received['address'] = null
  /** The backlog of a listening socket; undefined if another process called listen(2). */
  readonly #backlog: number | undefined
  #closing: Promise<void> | undefined

  private constructor(over: Channel | Listener, backlog?: number) {
    // The next `recv`, `send` or `accept` rejects with the error.
    if (!(over instanceof Channel)) {
      over.on('error', ignore)
      this.listener = over
      this.#backlog = backlog
      return
    }
    over.on('error', ignore)
    coreOf(over).receiver.bufferMalformed()
    this.#channel = over
    this.#peer = addressOf(over.remoteAddress)
  }

  /**
   * Makes a client.
   *
   * A datagram socket gets an abstract address that the kernel chooses, and is connected if a path
   * is given. A seqpacket socket (`type: 'seqpacket'`) requires a path.
   *
   * # Errors
   * Those of `connect`: ENOENT, ECONNREFUSED, EPROTOTYPE …
   */
  static async newClient(
    connectTo?: Address,
    options: ClientOptions = NO_OPTIONS,
  ): Promise<Socket> {
    const checked = withProtocol('newClient', options)
    if (connectTo !== undefined) return new Socket(await connect(connectTo, checked))
    if (options.type === 'seqpacket') {
      throw new TypeError('newClient: a seqpacket socket needs a path to connect to')
    }
    return new Socket(await bind(null, checked))
  }

  /**
   * Makes a server at a path, or for null at an abstract name that the kernel chooses. `close()`
   * removes the path, even after chdir(2) or after a parent directory was renamed.
   *
   * A datagram socket receives messages. A seqpacket socket (`type: 'seqpacket'`) listens at once,
   * with `backlog` (connections, 511); `accept()` returns its connections.
   *
   * # Errors
   * Those of `bind` and `listen`: EADDRINUSE, EEXIST, ENOENT …
   */
  static async newServer(
    bindTo: Address | null,
    options: ServerOptions = NO_OPTIONS,
  ): Promise<Socket> {
    const checked = withProtocol('newServer', options)
    if (options.type !== 'seqpacket') return new Socket(await bind(bindTo, checked))
    const { backlog } = checkOptions('listen', checked, bindTo)
    return new Socket(await listen(bindTo, checked), backlog)
  }

  /** Makes two sockets that are connected to each other. */
  static newPair(options: PairOptions = NO_OPTIONS): [Socket, Socket] {
    const [first, second] = pair(withProtocol('newPair', options))
    return [new Socket(first), new Socket(second)]
  }

  /**
   * Makes a socket from the descriptor of a datagram or seqpacket socket.
   *
   * It may be connected, bound or listening. The new object owns the descriptor afterwards. With
   * `closeFd: false` it owns a duplicate, and the caller keeps the descriptor.
   *
   * # Errors
   * Those of `adopt`. If this throws, the caller still owns the descriptor.
   */
  static newFromFd(fd: number, options: FromFdOptions = NO_OPTIONS): Socket {
    checkDescriptor('newFromFd', fd)
    const { closeFd, ...rest } = withProtocol('newFromFd', options, { type: "it is the socket's" })
    if (checkBoolean('closeFd', closeFd, true)) return Socket.#adopt(fd, rest)
    const duplicate = duplicateFd(fd)
    try {
      return Socket.#adopt(duplicate, rest)
    } catch (error) {
      closeDuplicate(duplicate)
      throw error
    }
  }

  static #adopt(fd: number, rest: Omit<FromFdOptions, 'closeFd'> & { protocol: 'jsoncomm' }) {
    checkUnowned('newFromFd', fd)
    const needed = 'jsoncomm needs a Unix datagram or seqpacket socket'
    const isUsable = ({ family, type }: { family: string; type: string }) =>
      family === 'unix' && (type === 'dgram' || type === 'seqpacket')
    const found = describeSocket(fd, needed, isUsable)
    const type = found.type === 'seqpacket' ? 'seqpacket' : 'dgram'
    const options = { ...rest, type } as const
    if (!found.listening) return new Socket(adopt(fd, options))
    const address = { fd }
    return new Socket(listenOn(address, options, checkOptions('listen', options, address)))
  }

  /**
   * The channel underneath.
   *
   * # Errors
   * TypeError on a listening socket, which has a `listener` instead.
   */
  get channel(): Channel {
    if (this.#channel !== undefined) return this.#channel
    throw new TypeError('This socket listens and has no channel: accept() returns sockets with one')
  }

  /** The socket's type. */
  get type(): Exclude<SocketType, 'stream'> {
    return this.#channel?.type === 'dgram' ? 'dgram' : 'seqpacket'
  }

  /**
   * Checks that this socket listens. A server of type `'seqpacket'` has listened since `newServer`.
   *
   * # Errors
   * TypeError on a socket that does not listen, and for a `backlog` that differs from that of the
   * socket; ERR_FDWIRE_CLOSED.
   */
  listen(backlog?: number): void {
    this.#requireListener('listen')
    if (this.fileno() < 0) throw closedError('listen')
    if (backlog === undefined || backlog === this.#backlog) return
    const actual = this.#backlog === undefined ? 'an unknown backlog' : `backlog ${this.#backlog}`
    throw new TypeError(
      `The socket already listens with ${actual}, not ${describeValue(backlog)}: use the option backlog of newServer`,
    )
  }

  /**
   * Waits for a connection; null if the socket is closed before one arrives.
   *
   * # Errors
   * ERR_FDWIRE_TIMEOUT after `timeout` (ms, default 0: no limit) and AbortError, which take no
   * connection; ERR_FDWIRE_CLOSED; TypeError on a socket that does not listen.
   */
  async accept(options: WaitOptions = NO_OPTIONS): Promise<Socket | null> {
    const limits = checkWait('accept', options)
    const listener = this.#requireListener('accept')
    if (this.#closing !== undefined) throw closedError('accept')
    const channel = await acceptConnection(listener, limits)
    return channel === null ? null : new Socket(channel)
  }

  /**
   * Sends a payload. Resolves when the kernel has taken it.
   *
   * # Errors
   * Those of `Channel.send`; EPIPE if the peer of a seqpacket socket has closed; the error of a
   * queued message that could not be delivered.
   */
  async send(payload: unknown, options: SendOptions = NO_OPTIONS): Promise<void> {
    checkCallOptions('send', options, ['destination', 'fds'])
    const { destination, fds } = options
    const channel = this.#requireChannel('sendmsg')
    try {
      await coreOf(channel).sendAndFlush(payload, { to: destination, fds })
    } catch (error) {
      throw this.#sendError(error)
    }
  }

  /**
   * Waits for a message; null when the socket is closed, and always after the peer has closed.
   *
   * # Errors
   * The error of a malformed message, after which the next call returns the next message;
   * ERR_FDWIRE_TIMEOUT after `timeout` (ms, default 0: no limit) and AbortError, which take no
   * message; ERR_FDWIRE_CLOSED after `close()`.
   */
  async recv(options: WaitOptions = NO_OPTIONS): Promise<Received | null> {
    const message = await coreOf(this.#requireChannel('recvmsg')).receive(options, true)
    return message === null ? null : this.#received(message)
  }

  /**
   * Sends a payload and waits for the reply.
   *
   * # Errors
   * Those of `Channel.request`.
   */
  async sendAndRecv(
    payload: unknown,
    options: SendOptions & WaitOptions = NO_OPTIONS,
  ): Promise<Received> {
    checkCallOptions('sendAndRecv', options, ['destination', 'fds', 'timeout', 'signal'])
    const { destination, fds, timeout, signal } = options
    const request = { to: destination, fds, timeout, signal }
    return this.#received(await this.#requireChannel('sendmsg').request(payload, request))
  }

  /** Returns the descriptor, which the socket still owns; -1 when it is closed. */
  fileno(): number {
    return (this.#channel ?? (this.listener as Listener)).fd
  }

  /** Sends the queue, closes, and removes the path of a server. A second call has no effect. */
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

  #requireListener(call: string): Listener {
    if (this.listener !== undefined) return this.listener
    const kind = this.type === 'dgram' ? 'datagram' : 'connected'
    const instead = "use newServer(path, { type: 'seqpacket' })"
    throw new TypeError(`${call}: a ${kind} socket does not accept connections: ${instead}`)
  }

  /**
   * Returns the channel. Throws for a listening socket, with the error that the kernel has for it.
   */
  #requireChannel(syscall: string): Channel {
    if (this.#channel !== undefined) return this.#channel
    const hint = 'this socket listens: use the sockets that accept() returns'
    throw systemError(constants.errno.ENOTCONN, syscall, { hint })
  }

  /** Returns EPIPE, like the kernel, if the socket has closed itself because the peer has. */
  #sendError(error: unknown): unknown {
    if (errorCode(error) !== 'ERR_FDWIRE_PEER_CLOSED') return error
    return systemError(constants.errno.EPIPE, 'sendmsg', { cause: error })
  }
}

/**
 * Checks that a socket can carry the service protocol, which needs a connection with an end.
 *
 * # Errors
 * TypeError.
 */
export function checkServiceSocket(call: string, socket: unknown): Socket {
  if (socket instanceof Socket && socket.listener === undefined && socket.type === 'seqpacket') {
    return socket
  }
  throw new TypeError(`${call} needs a connected Socket of type 'seqpacket'`)
}

function addressOf(address: Channel['remoteAddress']): Received['address'] {
  return isTcp(address) ? null : (address ?? null)
}

function ignore(): void {}
