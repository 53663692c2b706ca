import type { Channel } from '../../channel/channel.js'
import { type FdwireError, isDisconnected } from '../../util/errors.js'
import { nextTick } from '../../util/timers.js'
import type { Transport } from './transport.js'
import { within } from './wait.js'

/** How long an ended connection may take to send its queue (ms). */
const DISCONNECT_TIMEOUT = 1_000

/** How long `close()` may take to send the queue and to read the peer's end (ms). */
const CLOSE_TIMEOUT = 2_000

interface Connection {
  readonly channel: Channel<Buffer>
  /** The flush of the messages that were sent in this tick; undefined if there are none. */
  flushing: Promise<boolean> | undefined
  /** `receiving`: sending has failed, but the peer's earlier messages may still arrive. */
  state: 'open' | 'receiving'
}

/**
 * A transport over `socket_protocol` channels, one at a time. Their messages are bodies.
 *
 * Subclasses open the channels.
 */
export abstract class BaseTransport implements Transport {
  abstract readonly IS_CLIENT: boolean
  #connection: Connection | undefined
  #channelName: string | null = null
  #onBody: ((body: Uint8Array) => Promise<void> | undefined) | undefined
  #onConnect = () => {}
  #onDisconnect: (error?: Error) => void = () => {}
  #onMalformed: (error: FdwireError) => void = () => {}

  /** The channel of the connection; undefined if there is none. */
  get channel(): Channel<Buffer> | undefined {
    return this.#connection?.channel
  }

  /** The channel name that the protocol objects have agreed on; null if there is none. */
  get channelName(): string | null {
    return this.#channelName
  }

  abstract reconnect(): boolean | Promise<boolean>
  abstract close(): Promise<void>

  initChannelName(name: string | null): void {
    this.#channelName = name
  }

  isConnected(): boolean {
    return this.#connection !== undefined
  }

  registerCallback(callback: (body: Uint8Array) => Promise<void> | undefined): void {
    this.#onBody = callback
    if (this.#connection !== undefined) this.#read(this.#connection)
  }

  registerConnectCallback(callback: () => void): void {
    this.#onConnect = callback
  }

  registerDisconnectCallback(callback: (error?: Error) => void): void {
    this.#onDisconnect = callback
  }

  registerMalformedCallback(callback: (error: FdwireError) => void): void {
    this.#onMalformed = callback
  }

  /** Sends a body. Returns whether the kernel takes it within `timeout` (ms, 0: no limit). */
  async send(body: Buffer, { timeout }: { timeout: number }): Promise<boolean> {
    const connection = this.#connection
    if (connection?.state !== 'open') return false
    try {
      connection.channel.send(body)
    } catch (error) {
      if (!isDisconnected(error)) throw error
      this.#disconnect(connection)
      return false
    }
    connection.flushing ??= this.#flush(connection)
    return within(connection.flushing, { timeout }, false)
  }

  /** Ends the connection, if there is one. Its queue is still sent, for a second at most. */
  disconnect(): void {
    if (this.#connection !== undefined) this.#disconnect(this.#connection)
  }

  /** Makes a channel the connection. */
  protected attach(channel: Channel<Buffer>): void {
    const connection: Connection = { channel, flushing: undefined, state: 'open' }
    this.#connection = connection
    channel.on('error', error => this.#disconnect(connection, error))
    channel.on('end', () => this.#disconnect(connection))
    channel.on('close', () => this.#disconnect(connection))
    channel.on('malformed', error => {
      if (connection === this.#connection) this.#onMalformed(error as FdwireError)
    })
    if (this.#onBody !== undefined) this.#read(connection)
    this.#onConnect()
  }

  /** Sends the queue and closes. A peer that does not close its side in time is not an error. */
  protected async closeChannel(channel: Channel<Buffer> | undefined = this.channel): Promise<void> {
    const closed = channel?.close({ timeout: CLOSE_TIMEOUT })
    this.disconnect()
    try {
      await closed
    } catch (error) {
      if ((error as FdwireError).unsent !== 0) throw error
    }
  }

  /** Called after the connection has ended. */
  protected abstract onDisconnected(): void

  /** Delivers messages to the callback. The channel reads nothing before there is one. */
  #read(connection: Connection): void {
    const { channel } = connection
    channel.removeAllListeners('message')
    channel.on('message', body => {
      if (connection !== this.#connection) return
      const resumed = this.#onBody?.(body)
      // If nothing can be sent any more, all messages are read up to the peer's end.
      if (resumed === undefined || connection.state === 'receiving') return
      channel.pause()
      void resumed.then(() => {
        if (connection === this.#connection && !channel.closed) channel.resume()
      })
    })
  }

  #disconnect(connection: Connection, error?: Error): void {
    // Also rejects the calls that wait for the kernel to take their messages.
    connection.channel.close({ timeout: DISCONNECT_TIMEOUT }).catch(() => {})
    if (connection !== this.#connection) return
    this.#connection = undefined
    try {
      this.#onDisconnect(error)
    } finally {
      // The next connection does not depend on what a callback of the program throws.
      this.onDisconnected()
    }
  }

  /** Resolves to whether the kernel has taken everything that is sent in this tick. */
  #flush(connection: Connection): Promise<boolean> {
    const { channel } = connection
    return new Promise(resolve => {
      nextTick(() => {
        connection.flushing = undefined
        channel.flush().then(
          () => resolve(true),
          () => {
            if (connection === this.#connection) this.#receiveOnly(connection)
            resolve(false)
          },
        )
      })
    })
  }

  #receiveOnly(connection: Connection): void {
    const { channel } = connection
    connection.state = 'receiving'
    if (!channel.closed && channel.isPaused()) channel.resume()
  }
}
