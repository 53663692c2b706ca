/** jsoncomm in the words of its original: JSON messages with descriptors between processes. */

import { type Address, isTcp } from './address.js'
import { adopt } from './adopt.js'
import type { Channel } from './channel.js'
import type { FdSet } from './fdset.js'
import type { Message } from './message.js'
import { bind, connect, pair } from './open.js'
import { checkCallOptions, type WaitOptions } from './options.js'
import type { FdSource } from './outgoing.js'

export { FdSet } from './fdset.js'

const PROTOCOL = { protocol: 'jsoncomm' } as const

/** What `recv` gives. */
export interface Received {
  /** What was sent. */
  // biome-ignore lint/suspicious/noExplicitAny: what JSON.parse gives is any, and here too
  payload: any
  /** Its descriptors, yours to steal or close. */
  fds: FdSet
  /** The sender's name, which `send` takes as `destination`; null where it has none. */
  address: string | Buffer | null
}

/** What goes with a payload. */
export interface SendOptions {
  /** Where to, on a socket that is not connected. */
  destination?: Address | undefined
  /** Descriptors to send along; they stay the caller's. */
  fds?: FdSet | Iterable<FdSource> | undefined
}

/**
 * A socket that carries one JSON text a datagram, with descriptors beside it.
 *
 * The vocabulary is that of osbuild's `jsoncomm.Socket`; what blocks there is a promise here. A
 * message waits in the kernel until `recv` is called.
 */
export class Socket {
  /** The channel underneath. */
  readonly channel: Channel

  private constructor(channel: Channel) {
    channel.keepMalformed()
    this.channel = channel
  }

  /**
   * A client: with a name of the kernel's choice, connected where a path is given.
   *
   * # Errors
   * Those of `connect`: ENOENT, ECONNREFUSED, EPROTOTYPE …
   */
  static async newClient(connectTo?: Address): Promise<Socket> {
    const channel =
      connectTo === undefined ? await bind('', PROTOCOL) : await connect(connectTo, PROTOCOL)
    return new Socket(channel)
  }

  /**
   * A server at a path, which goes with it: even after chdir, or a rename of a directory above it.
   *
   * # Errors
   * Those of `bind`: EADDRINUSE, EEXIST, ENOENT …
   */
  static async newServer(bindTo: Address): Promise<Socket> {
    return new Socket(await bind(bindTo, PROTOCOL))
  }

  /** Two sockets that are connected with each other. */
  static newPair(): [Socket, Socket] {
    const [first, second] = pair(PROTOCOL)
    return [new Socket(first), new Socket(second)]
  }

  /**
   * A socket that this process was given; it owns the descriptor from then on.
   *
   * # Errors
   * Those of `adopt`; then the descriptor is still the caller's.
   */
  static newFromFd(fd: number): Socket {
    return new Socket(adopt(fd, PROTOCOL))
  }

  /**
   * Sends a payload; resolves when the kernel has it.
   *
   * # Errors
   * Those of `Channel.send`, and why it was given up where it had to wait.
   */
  async send(payload: unknown, options: SendOptions = {}): Promise<void> {
    checkCallOptions('send', options, ['destination', 'fds'])
    const { destination, fds } = options
    await this.channel.sendAndFlush(payload, { to: destination, fds })
  }

  /**
   * Waits for a message; null when the socket is closed.
   *
   * # Errors
   * Rejects for a malformed message; the next call gives the one behind it.
   */
  async recv(options: WaitOptions = {}): Promise<Received | null> {
    const message = await this.channel.receiveStrictly(options)
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
    return this.#received(await this.channel.request(payload, request))
  }

  /** The descriptor's number, lent; -1 once the socket is closed. */
  fileno(): number {
    return this.channel.fd
  }

  /** Sends what waits, closes, and removes the path of a server. A second call does nothing more. */
  close(): Promise<void> {
    return this.channel.close()
  }

  /** The same as `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #received({ value, fds, from }: Message): Received {
    const address = from === undefined ? this.channel.remoteAddress : from
    return { payload: value, fds, address: isTcp(address) ? null : (address ?? null) }
  }
}
