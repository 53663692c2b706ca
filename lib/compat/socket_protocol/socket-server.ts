import type { Channel } from '../../channel/channel.js'
import { listen } from '../../open/listen.js'
import type { Listener } from '../../open/listener.js'
import type { Address, ListenFd, TcpAddress } from '../../options/address.js'
import type { ListenOptions } from '../../options/check.js'
import { NO_OPTIONS } from '../../util/no-options.js'
import { BaseTransport } from './base-transport.js'
import { checkTransportOptions } from './options.js'

/** Options of `SocketServer.listen` and `ProtocolServer.listen`: those of `listen`. */
export type SocketServerOptions = Omit<
  ListenOptions<'socket_protocol', 'buffer'>,
  'protocol' | 'encoding'
>

/**
 * Listens at an address for peers of a protocol object.
 *
 * # Errors
 * TypeError for options that a transport sets itself; those of `listen`.
 */
export function listenForPeers(
  call: string,
  address: Address | TcpAddress | ListenFd | null,
  options: SocketServerOptions,
): Promise<Listener<Channel<Buffer>>> {
  checkTransportOptions(call, options)
  return listen(address, { ...options, protocol: 'socket_protocol', encoding: 'buffer' })
}

/**
 * A transport that listens and serves one peer at a time, like the original. Other peers wait in
 * the kernel's backlog.
 */
export class SocketServer extends BaseTransport {
  /** Whether this side is the client. */
  readonly IS_CLIENT = false
  readonly #listener: Listener<Channel<Buffer>>
  readonly #channels: AsyncIterator<Channel<Buffer>>
  #isAccepting = false

  private constructor(listener: Listener<Channel<Buffer>>) {
    super()
    this.#listener = listener
    this.#channels = listener[Symbol.asyncIterator]()
    this.#accept()
  }

  /**
   * Listens at an address.
   *
   * # Errors
   * Those of `listen`: EADDRINUSE …
   */
  static async listen(
    address: Address | TcpAddress | ListenFd | null,
    options: SocketServerOptions = NO_OPTIONS,
  ): Promise<SocketServer> {
    return new SocketServer(await listenForPeers('SocketServer.listen', address, options))
  }

  /** The address at which it listens. */
  get address(): string | Buffer | TcpAddress | null {
    return this.#listener.address
  }

  /** Ends the connection, if there is one. Returns false: it does not wait for the next peer. */
  reconnect(): boolean {
    this.disconnect()
    return this.isConnected()
  }

  /**
   * Stops listening, sends the queue, and closes.
   *
   * # Errors
   * ERR_FDWIRE_TIMEOUT with `error.unsent` if the peer does not read.
   */
  async close(): Promise<void> {
    await this.#listener.close()
    await this.closeChannel()
  }

  protected onDisconnected(): void {
    this.#accept()
  }

  /** Accepts the next peer, unless one is connected. */
  async #accept(): Promise<void> {
    if (this.#isAccepting || this.isConnected()) return
    this.#isAccepting = true
    const { done, value } = await this.#channels.next()
    this.#isAccepting = false
    if (!done) this.attach(value)
  }
}
