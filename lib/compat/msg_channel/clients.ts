import type { Channel } from '../../channel/channel.js'
import type { Listener } from '../../open/listener.js'
import type { TcpAddress } from '../../options/address.js'

/** A client as it is announced: its address. */
export interface Client {
  readonly ip: string | undefined
  readonly port: number | undefined
}

/** Whether clients are announced by console.log, or what is told of them instead. */
export type Echo = boolean | ((client: Client) => void)

/** Clients as they come, until it is closed. */
export interface ClientsIterator<C> extends AsyncIterableIterator<C, undefined, undefined> {
  next(): Promise<IteratorResult<C, undefined>>
  return(): Promise<IteratorResult<C, undefined>>
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** The clients that connect to a port, each when it is asked for; leaving the loop closes the port. */
export class Clients<C extends Client> implements ClientsIterator<C> {
  /** The listener underneath. */
  readonly listener: Listener<Channel<Buffer>>
  readonly #accepted: AsyncIterableIterator<Channel<Buffer>>
  readonly #wrap: (channel: Channel<Buffer>) => C
  readonly #echo: Echo

  /** @internal Made by `Channel.listen`. */
  constructor(
    listener: Listener<Channel<Buffer>>,
    wrap: (channel: Channel<Buffer>) => C,
    echo: Echo = false,
  ) {
    this.listener = listener
    this.#accepted = listener[Symbol.asyncIterator]()
    this.#wrap = wrap
    this.#echo = echo
    // Who asks for the next client is told of it.
    listener.on('error', () => {})
  }

  /** Where it listens, in numbers. */
  get host(): string {
    return (this.listener.address as TcpAddress).host
  }

  /** The port, also where 0 was asked for. */
  get port(): number {
    return (this.listener.address as TcpAddress).port
  }

  async next(): Promise<IteratorResult<C, undefined>> {
    const result = await this.#accepted.next()
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

  /** Accepts no more; the clients that it has given live on. A second call does nothing more. */
  close(): Promise<void> {
    return this.listener.close()
  }

  /** The same as `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}
