import { connect, encodePeer } from '../../open/connect.js'
import { type Address, checkTcp, isTcp, type TcpAddress } from '../../options/address.js'
import { type ConnectOptions, checkIsObject, checkOptions } from '../../options/check.js'
import { Backoff } from '../../util/backoff.js'
import { checkInteger } from '../../util/checks.js'
import { NO_OPTIONS } from '../../util/no-options.js'
import { clearTimeout, now, setTimeout } from '../../util/timers.js'
import { BaseTransport } from './base-transport.js'
import { checkLogger, checkTransportOptions } from './options.js'
import type { Logger } from './transport.js'

/** Options of a {@link SocketClient}: those of `connect`, and how it reconnects. */
export interface SocketClientOptions
  extends Omit<ConnectOptions<'socket_protocol', 'buffer'>, 'protocol' | 'encoding' | 'signal'> {
  /**
   * The delay before the second attempt (ms, 100). It doubles with each further one. Jitter
   * subtracts up to half.
   */
  minDelay?: number | undefined
  /** The longest delay (ms, 10,000). A connection that lasts longer resets it to `minDelay`. */
  maxDelay?: number | undefined
  /** Failed attempts in a row after which it waits for `reconnect()` (0: no limit). */
  maxAttempts?: number | undefined
  /** Receives the log (none). */
  logger?: Logger | undefined
}

/**
 * A transport that connects to an address, and reconnects whenever the connection has ended.
 *
 * It begins at once. Messages that are sent before it is connected wait in the protocol object. It
 * keeps the process alive until it is closed.
 */
export class SocketClient extends BaseTransport {
  /** Whether this side is the client. */
  readonly IS_CLIENT = true
  readonly #address: Address | TcpAddress
  readonly #options: ConnectOptions<'socket_protocol', 'buffer'>
  readonly #maxDelay: number
  readonly #maxAttempts: number
  readonly #backoff: Backoff
  readonly #logger: Logger
  /** Aborted by `close()`. */
  readonly #abort = new AbortController()
  /** The attempt in progress. */
  #attempt: Promise<boolean> | undefined
  /** The timer of the next attempt. */
  #timer: NodeJS.Timeout | undefined
  #failures = 0
  /** When the last connection was made. */
  #connectedAt = 0
  #isClosed = false

  /**
   * Begins to connect.
   *
   * # Errors
   * TypeError, RangeError for invalid options or an invalid address; ERR_FDWIRE_BAD_ADDRESS.
   */
  constructor(address: Address | TcpAddress, options: SocketClientOptions = NO_OPTIONS) {
    super()
    checkIsObject('SocketClient', options)
    checkTransportOptions('SocketClient', options, { signal: 'use close() to end it' })
    const { minDelay, maxDelay, maxAttempts, logger, ...connection } = options
    this.#address = address
    const least = checkInteger('minDelay', minDelay, 100, 1)
    this.#maxDelay = checkInteger('maxDelay', maxDelay, 10_000, least)
    this.#maxAttempts = checkInteger('maxAttempts', maxAttempts, 0, 0)
    this.#backoff = new Backoff({ minDelay: least, maxDelay: this.#maxDelay, maxAttempts: 0 })
    this.#logger = checkLogger(logger)
    this.#options = { ...connection, protocol: 'socket_protocol', encoding: 'buffer' }
    checkOptions('connect', this.#options, address)
    if (isTcp(address)) checkTcp(address, 'The address', 1)
    else encodePeer(address)
    // Connects after this tick, in which the caller registers callbacks.
    this.#timer = setTimeout(() => this.#try(), 0)
  }

  /** Ends the connection, if there is one, and connects. Resolves to whether that succeeded. */
  async reconnect(): Promise<boolean> {
    if (this.#isClosed) return false
    this.disconnect()
    this.#reset()
    return this.#try()
  }

  /**
   * Sends the queue, closes, and does not reconnect.
   *
   * # Errors
   * ERR_FDWIRE_TIMEOUT with `error.unsent` if the peer does not read.
   */
  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.#abort.abort()
    await this.closeChannel()
  }

  protected onDisconnected(): void {
    if (now() - this.#connectedAt > this.#maxDelay) this.#reset()
    this.#schedule()
  }

  #reset(): void {
    this.#failures = 0
    this.#backoff.reset()
  }

  #try(): Promise<boolean> {
    clearTimeout(this.#timer)
    this.#attempt ??= this.#connect().finally(() => {
      this.#attempt = undefined
    })
    return this.#attempt
  }

  async #connect(): Promise<boolean> {
    const { signal } = this.#abort
    try {
      const channel = await connect(this.#address, { ...this.#options, signal })
      if (this.#isClosed) {
        channel.destroy()
        return false
      }
      this.#connectedAt = now()
      this.attach(channel)
      return this.isConnected()
    } catch (error) {
      if (this.#isClosed) return false
      this.#logger.warn(`socket_protocol: could not connect: ${String(error)}`)
      this.#schedule()
      return false
    }
  }

  /** Schedules the next attempt. */
  #schedule(): void {
    if (this.#isClosed) return
    clearTimeout(this.#timer)
    this.#failures++
    if (this.#maxAttempts > 0 && this.#failures > this.#maxAttempts) {
      const attempts = `maxAttempts (${this.#maxAttempts})`
      this.#logger.error(`socket_protocol: no more attempts to connect: ${attempts} have failed`)
      return
    }
    this.#timer = setTimeout(() => this.#try(), this.#backoff.next())
  }
}
