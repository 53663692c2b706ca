import { type Channel as AnyChannel, coreOf } from '../../channel/channel.js'
import { connect } from '../../open/connect.js'
import { listen } from '../../open/listen.js'
import { isTcp } from '../../options/address.js'
import { checkChannel, type WaitOptions } from '../../options/check.js'
import { checkBoolean } from '../../util/checks.js'
import { NO_OPTIONS } from '../../util/no-options.js'
import { type Clients, type ClientsIterator, ListenerClients } from './clients.js'
import { type ConnectingOptions, checkFixed, type ListeningOptions } from './options.js'

/**
 * Binary messages in both directions over a stream socket, each in a frame `\r\nMSG <length>\r\n`.
 *
 * Names are those of the original Python class (a gist of joshkunz); calls that block there return
 * a promise here. A message stays in the kernel until `recv` or `iterRecv` takes it.
 */
export class Channel {
  /** The channel underneath. */
  readonly channel: AnyChannel<Buffer>
  /** The peer's IP address; undefined on a socket that is not TCP. */
  readonly ip: string | undefined
  /** The peer's port; undefined on a socket that is not TCP. */
  readonly port: number | undefined
  #closing = false

  private constructor(channel: AnyChannel<Buffer>) {
    this.channel = channel
    const { remoteAddress } = channel
    if (isTcp(remoteAddress)) {
      this.ip = remoteAddress.host
      this.port = remoteAddress.port
    }
    // The next `recv` or `send` rejects with the error.
    channel.on('error', () => {})
  }

  /**
   * Listens on a TCP port and yields the clients that connect, for `for await`.
   *
   * The result is also a promise, which resolves to the `Clients` when the socket listens;
   * iteration does not need it. Leaving the loop, `return()` and `close()` close the listener, but
   * no client.
   *
   * # Errors
   * The promise and the first `next()` reject with the errors of fdwire's `listen`.
   */
  static listen(
    host: string,
    port: number,
    options: ListeningOptions = NO_OPTIONS,
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
   * Those of fdwire's `connect`: ECONNREFUSED, ENOTFOUND, ERR_FDWIRE_TIMEOUT …
   */
  static async connect(
    host: string,
    port: number,
    options: ConnectingOptions = NO_OPTIONS,
  ): Promise<Channel> {
    checkFixed('Channel.connect', options)
    return new Channel(await connect({ host, port }, { ...options, protocol: 'msg_channel' }))
  }

  /**
   * Wraps any channel of msg_channel: on a Unix socket, an adopted descriptor, a Duplex.
   *
   * # Errors
   * TypeError for a channel of another protocol.
   */
  static over(channel: AnyChannel<Buffer>): Channel {
    checkChannel('Channel.over', channel, 'msg_channel')
    return new Channel(channel)
  }

  /**
   * Sends bytes, or a string as UTF-8. Resolves when the kernel has taken them.
   *
   * Messages are sent in the order of the calls, and their frames never interleave.
   *
   * # Errors
   * Those of fdwire's `Channel.send`, and the error that ended the connection.
   */
  async send(value: string | ArrayBufferView): Promise<void> {
    await coreOf(this.channel).sendAndFlush(value)
  }

  /**
   * Waits for a message; null when the peer has closed. Concurrent calls keep their order.
   *
   * # Errors
   * The error that ended the connection: ERR_FDWIRE_BAD_HEADER, ERR_FDWIRE_CUT_SHORT with
   * `missing`, ERR_FDWIRE_MESSAGE_TOO_LARGE, ECONNRESET …; ERR_FDWIRE_TIMEOUT after `timeout` (ms,
   * 0: no limit, the default), AbortError.
   */
  async recv(options: WaitOptions = NO_OPTIONS): Promise<Buffer | null> {
    const message = await this.channel.receive(options)
    return message === null ? null : message.value
  }

  /**
   * Yields the messages, for `for await`, until either side has closed. `break` closes nothing.
   *
   * # Errors
   * Those of `recv`.
   */
  async *iterRecv(): AsyncGenerator<Buffer, undefined, undefined> {
    while (!this.#closing) {
      const value = await this.recv()
      if (value === null) break
      yield value
    }
    return undefined
  }

  /**
   * Sends the queue, then closes (`timeout`: ms, 10,000; 0: no limit). A second call has no effect.
   *
   * # Errors
   * Those of fdwire's `Channel.close`.
   */
  close(options: { timeout?: number | undefined } = NO_OPTIONS): Promise<void> {
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
  checkFixed('Channel.listen', options)
  const { reuse, echo, ...rest } = options
  const reusePort = checkBoolean('reuse', reuse, true)
  if (typeof echo !== 'function') checkBoolean('echo', echo)
  const listener = await listen({ host, port }, { ...rest, protocol: 'msg_channel', reusePort })
  return new ListenerClients(listener, Channel.over, echo)
}
