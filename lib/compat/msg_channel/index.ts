/** msg_channel in the words of its original: binary messages over a stream socket. */

import type { Channel as AnyChannel } from '../../channel/channel.js'
import { listen } from '../../open/listen.js'
import { connect } from '../../open/open.js'
import { isTcp } from '../../options/address.js'
import {
  type ConnectOptions,
  checkIsObject,
  type ListenOptions,
  type WaitOptions,
} from '../../options/check.js'
import { flag } from '../../util/checks.js'
import { Clients, type ClientsIterator, type Echo } from './clients.js'

export type { Clients, Echo } from './clients.js'

/** Options that a `Channel` decides itself. */
type Decided = 'protocol' | 'encoding' | 'type' | 'reusePort'

/** Options of `Channel.connect`: those of the package's `connect` over TCP. */
export interface ConnectingOptions extends Omit<ConnectOptions<'msg_channel'>, Decided> {}

/** Options of `Channel.listen`, beside those of the package's `listen` over TCP. */
export interface ListeningOptions extends Omit<ListenOptions<'msg_channel'>, Decided> {
  /** Whether others may listen on the same port too, by SO_REUSEPORT (true). */
  reuse?: boolean | undefined
  /** Whether each client's address is printed by console.log (false); or a function that is told. */
  echo?: Echo | undefined
}

/**
 * Binary messages both ways over a stream socket, each in a frame `\r\nMSG <length>\r\n`.
 *
 * The vocabulary is that of the original's `Channel`; what blocks there is a promise here. A message
 * waits in the kernel until somebody receives it.
 */
export class Channel {
  /** The channel underneath. */
  readonly channel: AnyChannel<Buffer>
  /** The peer's address; undefined where that is none of TCP. */
  readonly ip: string | undefined
  /** The peer's port; undefined where it has none. */
  readonly port: number | undefined
  #closing = false

  private constructor(channel: AnyChannel<Buffer>) {
    this.channel = channel
    const { remoteAddress } = channel
    if (isTcp(remoteAddress)) {
      this.ip = remoteAddress.host
      this.port = remoteAddress.port
    }
    // Who receives or sends next is told of it, by a promise of theirs: nobody has to listen.
    channel.on('error', () => {})
  }

  /**
   * Listens on a TCP port: the clients, for `for await`, endlessly.
   *
   * The promise of it tells where it listens, and when it does; iterating goes without it. Leaving
   * the loop, `return()` and `close()` close the listener, and no client.
   *
   * # Errors
   * The promise and the first `next()` reject with those of the package's `listen`.
   */
  static listen(
    host: string,
    port: number,
    options: ListeningOptions = {},
  ): Promise<Clients<Channel>> & ClientsIterator<Channel> {
    const opening = openClients(host, port, options)
    const iterator: ClientsIterator<Channel> = {
      next: async () => (await opening).next(),
      return: async () => (await opening).return(),
      close: async () => (await opening).close(),
      [Symbol.asyncIterator]: () => iterator,
      [Symbol.asyncDispose]: () => iterator.close(),
    }
    return Object.assign(opening, iterator)
  }

  /**
   * Connects to a TCP port.
   *
   * # Errors
   * Those of the package's `connect`: ECONNREFUSED, ENOTFOUND, ERR_FDWIRE_TIMEOUT …
   */
  static async connect(
    host: string,
    port: number,
    options: ConnectingOptions = {},
  ): Promise<Channel> {
    checkDecided('Channel.connect', options)
    return new Channel(await connect({ host, port }, { ...options, protocol: 'msg_channel' }))
  }

  /** Over any channel of msg_channel: one on a Unix socket, an adopted one, one over a Duplex. */
  static over(channel: AnyChannel<Buffer>): Channel {
    if (channel.protocol !== 'msg_channel') {
      throw new TypeError(`Channel.over takes a channel of msg_channel, not of ${channel.protocol}`)
    }
    return new Channel(channel)
  }

  /**
   * Sends bytes, or a text as UTF-8; resolves when the kernel has them.
   *
   * Calls keep their order, and none waits for another: their frames never mix.
   *
   * # Errors
   * Those of `Channel.send` of the package, and what has ended the connection.
   */
  async send(value: string | ArrayBufferView): Promise<void> {
    await this.channel.sendAndFlush(value)
  }

  /**
   * Waits for a message; null when the peer has closed. Calls are served in their order.
   *
   * # Errors
   * What has ended the connection: ERR_FDWIRE_BAD_HEADER, ERR_FDWIRE_CUT_SHORT with `missing`,
   * ERR_FDWIRE_MESSAGE_TOO_LARGE, ECONNRESET …; ERR_FDWIRE_TIMEOUT, AbortError.
   */
  async recv(options: WaitOptions = {}): Promise<Buffer | null> {
    const message = await this.channel.receive(options)
    return message === null ? null : message.value
  }

  /**
   * The messages, for `for await`; ends when either side has closed. `break` closes nothing.
   *
   * # Errors
   * Throws what has ended the connection, as `recv`.
   */
  async *iterRecv(): AsyncGenerator<Buffer, undefined, undefined> {
    while (!this.#closing) {
      const value = await this.recv()
      if (value === null) break
      yield value
    }
    return undefined
  }

  /** Sends what waits, then closes. A second call does nothing more. */
  close(options: { timeout?: number | undefined } = {}): Promise<void> {
    const closing = this.channel.close(options)
    this.#closing = true
    return closing
  }

  /** The same as `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

async function openClients(
  host: string,
  port: number,
  options: ListeningOptions,
): Promise<Clients<Channel>> {
  checkDecided('Channel.listen', options)
  const { reuse, echo, ...rest } = options
  const how = { ...rest, protocol: 'msg_channel', reusePort: flag('reuse', reuse, true) } as const
  if (typeof echo !== 'function') flag('echo', echo)
  const listener = await listen({ host, port }, how)
  return new Clients(listener, Channel.over, echo)
}

/** What a `Channel` decides itself nobody else does. */
function checkDecided(call: string, options: object): void {
  checkIsObject(call, options)
  for (const name of ['protocol', 'encoding', 'reusePort']) {
    if ((options as Record<string, unknown>)[name] === undefined) continue
    const instead = name === 'reusePort' ? 'it is called reuse in listen' : 'messages are Buffers'
    throw new TypeError(`${call} has no option ${name}: ${instead}`)
  }
}
