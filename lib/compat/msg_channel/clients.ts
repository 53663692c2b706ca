import type { Channel } from '../../channel/channel.js'
import type { Listener } from '../../open/listener.js'
import type { TcpAddress } from '../../options/address.js'

/** The address of a client. */
export interface Client {
  /** The IP address; undefined if the socket has no TCP address. */
  readonly ip: string | undefined
  /** The port; undefined if the socket has no TCP address. */
  readonly port: number | undefined
}

/** Whether to print the address of each client with console.log, or a function to call instead. */
export type Echo = boolean | ((client: Client) => void)

/** Yields the clients that connect. Ends when the listener is closed. */
export interface ClientsIterator<C> extends AsyncIterableIterator<C, undefined, undefined> {
  /** Waits for the next client. */
  next(): Promise<IteratorResult<C, undefined>>
  /** Closes the listener, as leaving the loop does. */
  return(): Promise<IteratorResult<C, undefined>>
  /** Closes the listener. */
  close(): Promise<void>
  /** The same as `close()`. */
  [Symbol.asyncDispose](): Promise<void>
}

/** Yields the clients that connect to a port. Leaving the loop closes the listener. */
export interface Clients<C extends Client> extends ClientsIterator<C> {
  /** The listener underneath. */
  readonly listener: Listener<Channel<Buffer>>
  /** The IP address on which it listens. */
  readonly host: string
  /** The port on which it listens, even if port 0 was requested. */
  readonly port: number
  /** Stops accepting. Yielded clients stay connected. A second call has no effect. */
  close(): Promise<void>
  /** The same as `close()`. */
  [Symbol.asyncDispose](): Promise<void>
}

/** The clients of a listener, which accepts one connection for each `next()`. */
export class ListenerClients<C extends Client> implements Clients<C> {
  readonly listener: Listener<Channel<Buffer>>
  readonly #channels: AsyncIterableIterator<Channel<Buffer>>
  readonly #wrap: (channel: Channel<Buffer>) => C
  readonly #echo: Echo

  constructor(
    listener: Listener<Channel<Buffer>>,
    wrap: (channel: Channel<Buffer>) => C,
    echo: Echo = false,
  ) {
    this.listener = listener
    this.#channels = listener[Symbol.asyncIterator]()
    this.#wrap = wrap
    this.#echo = echo
    // `next()` rejects with the listener's error.
    listener.on('error', () => {})
  }

  get host(): string {
    return (this.listener.address as TcpAddress).host
  }

  get port(): number {
    return (this.listener.address as TcpAddress).port
  }

  async next(): Promise<IteratorResult<C, undefined>> {
    const result = await this.#channels.next()
    if (result.done) return { done: true, value: undefined }
    const client = this.#wrap(result.value)
    if (typeof this.#echo === 'function') this.#echo(client)
    else if (this.#echo) console.log(`Client connected: ${client.ip}:${client.port}`)
    return { done: false, value: client }
  }

  async return(): Promise<IteratorResult<C, undefined>> {
    await this.close()
    return { done: true, value: undefined }
  }

  close(): Promise<void> {
    return this.listener.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}
