import type { Channel } from '../../channel/channel.js'
import { listen } from '../../open/listen.js'
import type { Listener } from '../../open/listener.js'
import type { Address, ListenFd, TcpAddress } from '../../options/address.js'
import type { ListenOptions } from '../../options/check.js'
import { describeValue } from '../../util/checks.js'
import { Carrier } from './carrier.js'
import { ChannelTransport } from './channel-transport.js'
import { checkNotFixed } from './options.js'
import { Protocol } from './protocol.js'

/** Options of the servers: those of `listen`. */
export type SocketServerOptions = Omit<
  ListenOptions<'socket_protocol', 'buffer'>,
  'protocol' | 'encoding'
>

const FRAMING = { protocol: 'socket_protocol', encoding: 'buffer' } as const

/**
 * Listens for one peer at a time, as the original does: the next one waits until that is gone.
 *
 * Made by `SocketServer.listen`.
 */
export class SocketServer extends Carrier {
  readonly IS_CLIENT = false
  readonly #listener: Listener<Channel<Buffer>>
  readonly #peers: AsyncIterator<Channel<Buffer>>
  #waiting = false

  private constructor(listener: Listener<Channel<Buffer>>) {
    super()
    this.#listener = listener
    this.#peers = listener[Symbol.asyncIterator]()
    this.#next()
  }

  /**
   * Listens at an address.
   *
   * # Errors
   * Those of `listen`: EADDRINUSE …
   */
  static async listen(
    address: Address | TcpAddress | ListenFd,
    options: SocketServerOptions = {},
  ): Promise<SocketServer> {
    checkNotFixed('SocketServer.listen', options)
    return new SocketServer(await listen(address, { ...options, ...FRAMING }))
  }

  /** Where it listens. */
  get address(): string | Buffer | TcpAddress | null {
    return this.#listener.address
  }

  /** Ends the connection if there is one, and waits for the next peer, which may take any time. */
  reconnect(): boolean {
    this.disconnect()
    return this.isConnected()
  }

  /**
   * Listens no more, sends what waits, and closes.
   *
   * # Errors
   * ERR_FDWIRE_TIMEOUT with `error.unsent` when the peer takes nothing more.
   */
  async close(): Promise<void> {
    await this.#listener.close()
    await this.shut()
  }

  protected lost(): void {
    this.#next()
  }

  /** Takes the next peer: nobody is accepted as long as nobody asks. */
  async #next(): Promise<void> {
    if (this.#waiting || this.isConnected()) return
    this.#waiting = true
    const { done, value } = await this.#peers.next()
    this.#waiting = false
    // It ends with the listener.
    if (!done) this.attach(value)
  }
}

/** Makes the protocol object for a peer, with its callbacks. */
export type MakeProtocol = (transport: ChannelTransport) => Protocol

/**
 * Listens for many peers, and has a protocol object made for each.
 *
 * Made by `ProtocolServer.listen`.
 */
export class ProtocolServer {
  readonly #listener: Listener<Channel<Buffer>>
  readonly #protocols = new Set<Protocol>()

  private constructor(listener: Listener<Channel<Buffer>>, make: MakeProtocol) {
    this.#listener = listener
    listener.on('connection', channel => this.#admit(channel, make))
  }

  /**
   * Listens at an address.
   *
   * # Errors
   * Those of `listen`: EADDRINUSE …
   */
  static async listen(
    address: Address | TcpAddress | ListenFd,
    make: MakeProtocol,
    options: SocketServerOptions = {},
  ): Promise<ProtocolServer> {
    if (typeof make !== 'function') {
      throw new TypeError('ProtocolServer.listen takes a function that makes a protocol object')
    }
    checkNotFixed('ProtocolServer.listen', options)
    return new ProtocolServer(await listen(address, { ...options, ...FRAMING }), make)
  }

  /** Where it listens. */
  get address(): string | Buffer | TcpAddress | null {
    return this.#listener.address
  }

  /** The listener underneath: `'drop'`, `'error'` and `'close'` are told there. */
  get listener(): Listener<Channel<Buffer>> {
    return this.#listener
  }

  /** The protocol objects of the peers that are connected. */
  get protocols(): ReadonlySet<Protocol> {
    return this.#protocols
  }

  /** Listens no more, and closes all protocol objects. */
  async close(): Promise<void> {
    await this.#listener.close()
    // That a peer doesn't read what is left for it is no error of who closes.
    await Promise.allSettled([...this.#protocols].map(protocol => protocol.close()))
  }

  /** The same as `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #admit(channel: Channel<Buffer>, make: MakeProtocol): void {
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
    // It may have been gone before there was anybody to tell.
    if (!transport.isConnected()) this.#protocols.delete(protocol)
  }
}
