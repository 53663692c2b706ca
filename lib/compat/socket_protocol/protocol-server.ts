import type { Channel } from '../../channel/channel.js'
import type { Listener } from '../../open/listener.js'
import type { Address, ListenFd, TcpAddress } from '../../options/address.js'
import { describeValue } from '../../util/checks.js'
import { NO_OPTIONS } from '../../util/no-options.js'
import { ChannelTransport } from './channel-transport.js'
import { Protocol } from './protocol.js'
import { listenForPeers, type SocketServerOptions } from './socket-server.js'

/** Makes the protocol object for a peer, and registers its callbacks. */
export type MakeProtocol = (transport: ChannelTransport) => Protocol

/** Listens and serves many peers, each with its own protocol object. */
export class ProtocolServer {
  readonly #listener: Listener<Channel<Buffer>>
  readonly #protocols = new Set<Protocol>()

  private constructor(listener: Listener<Channel<Buffer>>, make: MakeProtocol) {
    this.#listener = listener
    listener.on('connection', channel => this.#accept(channel, make))
  }

  /**
   * Listens at an address. `make` is called for each peer.
   *
   * # Errors
   * Those of `listen`: EADDRINUSE …
   */
  static async listen(
    address: Address | TcpAddress | ListenFd | null,
    make: MakeProtocol,
    options: SocketServerOptions = NO_OPTIONS,
  ): Promise<ProtocolServer> {
    if (typeof make !== 'function') {
      throw new TypeError(
        `ProtocolServer.listen takes a function that returns a protocol object, not ${describeValue(make)}`,
      )
    }
    return new ProtocolServer(await listenForPeers('ProtocolServer.listen', address, options), make)
  }

  /** The address at which it listens. */
  get address(): string | Buffer | TcpAddress | null {
    return this.#listener.address
  }

  /** The listener underneath, which emits `'drop'`, `'error'` and `'close'`. */
  get listener(): Listener<Channel<Buffer>> {
    return this.#listener
  }

  /** The protocol objects of the connected peers. */
  get protocols(): ReadonlySet<Protocol> {
    return this.#protocols
  }

  /** Stops listening and closes all protocol objects. */
  async close(): Promise<void> {
    await this.#listener.close()
    // A peer that does not read the rest of its queue is not an error of the server.
    await Promise.allSettled([...this.#protocols].map(protocol => protocol.close()))
  }

  /** The same as `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #accept(channel: Channel<Buffer>, make: MakeProtocol): void {
    let protocol: Protocol | undefined
    const transport = new ChannelTransport(channel, { isClient: false }, () => {
      if (protocol === undefined) return
      this.#protocols.delete(protocol)
      protocol.close().catch(() => {})
    })
    try {
      const made: unknown = make(transport)
      if (!(made instanceof Protocol)) {
        throw new TypeError(`make must return a protocol object, not ${describeValue(made)}`)
      }
      protocol = made
    } catch (error) {
      channel.destroy()
      throw error
    }
    this.#protocols.add(protocol)
    // The connection may have ended while `make` ran.
    if (!transport.isConnected()) this.#protocols.delete(protocol)
  }
}
