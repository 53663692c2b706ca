import type { Channel } from '../../channel/channel.js'
import type { FdwireError } from '../../util/errors.js'
import type { Transport } from './transport.js'

/** How long a connection that is given up may take to send what waits (ms). */
const FAREWELL = 1_000

/** How long `close()` may take to send what waits, and to see the peer's end (ms). */
const CLOSE_TIMEOUT = 2_000

/** What the kernel says to a send where nobody is at the other end any more. */
const GONE = new Set(['ECONNREFUSED', 'ECONNRESET', 'ENOTCONN', 'EPIPE', 'ERR_FDWIRE_CLOSED'])

/**
 * A transport over channels of `socket_protocol`, one after another, whose messages are bodies.
 *
 * How the next one is come by is for those who extend it.
 */
export abstract class Carrier implements Transport {
  abstract readonly IS_CLIENT: boolean
  #channel: Channel<Buffer> | undefined
  #name: string | null = null
  #flushing: Promise<boolean> | undefined
  /** Nothing more goes out; what the peer has sent before that still comes. */
  #isBroken = false
  #onBody: ((body: Uint8Array) => Promise<void> | undefined) | undefined
  #onConnect = () => {}
  #onDisconnect: (error?: Error) => void = () => {}
  #onMalformed: (error: FdwireError) => void = () => {}

  /** The channel of the connection; undefined where there is none. */
  get channel(): Channel<Buffer> | undefined {
    return this.#channel
  }

  /** The name of the channel, as the protocol objects have agreed on it. */
  get channelName(): string | null {
    return this.#name
  }

  abstract reconnect(): boolean | Promise<boolean>
  abstract close(): Promise<void>

  initChannelName(name: string | null): void {
    this.#name = name
  }

  isConnected(): boolean {
    return this.#channel !== undefined
  }

  registerCallback(callback: (body: Uint8Array) => Promise<void> | undefined): void {
    this.#onBody = callback
    if (this.#channel !== undefined) this.#read(this.#channel)
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

  /** Sends a body; false where the kernel has not taken it within `timeout` (ms, 0: no limit). */
  async send(body: Buffer, { timeout }: { timeout: number }): Promise<boolean> {
    const channel = this.#channel
    if (channel === undefined || this.#isBroken) return false
    try {
      channel.send(body)
    } catch (error) {
      if (!GONE.has((error as { code?: string }).code ?? '')) throw error
      this.#lose(channel)
      return false
    }
    this.#flushing ??= this.#flush(channel)
    return timeout === 0 ? this.#flushing : inTime(this.#flushing, timeout)
  }

  /** There is a connection. */
  protected attach(channel: Channel<Buffer>): void {
    this.#channel = channel
    this.#flushing = undefined
    this.#isBroken = false
    channel.on('error', error => this.#lose(channel, error))
    channel.on('end', () => this.#lose(channel))
    channel.on('close', () => this.#lose(channel))
    channel.on('malformed', error => {
      if (channel === this.#channel) this.#onMalformed(error as FdwireError)
    })
    if (this.#onBody !== undefined) this.#read(channel)
    this.#onConnect()
  }

  /** Ends the connection, if there is one: what was sent still goes out, as far as that is possible. */
  disconnect(): void {
    if (this.#channel !== undefined) this.#lose(this.#channel)
  }

  /** Sends what waits, and ends the connection; that the peer doesn't end its side is no error. */
  protected async shut(channel = this.#channel): Promise<void> {
    const closed = channel?.close({ timeout: CLOSE_TIMEOUT })
    this.disconnect()
    try {
      await closed
    } catch (error) {
      if ((error as FdwireError).unsent !== 0) throw error
    }
  }

  /** The connection is gone. */
  protected abstract lost(): void

  /** Nothing is read before there is somebody to read it. */
  #read(channel: Channel<Buffer>): void {
    channel.removeAllListeners('message')
    channel.on('message', body => {
      if (channel !== this.#channel) return
      const held = this.#onBody?.(body)
      // Who can't be answered isn't to be slowed down either: its end comes behind what it has sent.
      if (held === undefined || this.#isBroken) return
      channel.pause()
      void held.then(() => {
        if (channel === this.#channel && !channel.closed) channel.resume()
      })
    })
  }

  #lose(channel: Channel<Buffer>, error?: Error): void {
    // Nobody is to wait for what can't be sent any more.
    channel.close({ timeout: FAREWELL }).catch(() => {})
    if (channel !== this.#channel) return
    this.#channel = undefined
    this.#flushing = undefined
    this.#onDisconnect(error)
    this.lost()
  }

  #break(channel: Channel<Buffer>): void {
    this.#isBroken = true
    if (!channel.closed && channel.isPaused()) channel.resume()
  }

  /** When all that is sent in this tick is with the kernel. */
  #flush(channel: Channel<Buffer>): Promise<boolean> {
    return new Promise(resolve => {
      process.nextTick(() => {
        if (channel === this.#channel) this.#flushing = undefined
        channel.flush().then(
          () => resolve(true),
          () => {
            if (channel === this.#channel) this.#break(channel)
            resolve(false)
          },
        )
      })
    })
  }
}

function inTime(sent: Promise<boolean>, timeout: number): Promise<boolean> {
  return new Promise(resolve => {
    const timer = setTimeout(resolve, timeout, false).unref()
    void sent.then(result => {
      clearTimeout(timer)
      resolve(result)
    })
  })
}
