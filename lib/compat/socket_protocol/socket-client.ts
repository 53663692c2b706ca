import { connect, encodePeer } from '../../open/connect.js'
import { type Address, checkTcp, isTcp, type TcpAddress } from '../../options/address.js'
import { type ConnectOptions, checkIsObject, checkOptions } from '../../options/check.js'
import { checkInteger } from '../../util/checks.js'
import { Carrier } from './carrier.js'
import { checkLogger, checkNotFixed } from './options.js'
import type { Logger } from './transport.js'

/** Options of a {@link SocketClient}: those of `connect`, and how it comes back. */
export interface SocketClientOptions
  extends Omit<ConnectOptions<'socket_protocol', 'buffer'>, 'protocol' | 'encoding' | 'signal'> {
  /** The first pause before another attempt (ms, 100); each is twice the one before, less up to half. */
  minDelay?: number | undefined
  /** The longest pause (ms, 10,000); a connection that lasts longer begins with the first again. */
  maxDelay?: number | undefined
  /** Attempts in a row that may fail, before it waits for `reconnect()` (0: no limit). */
  maxAttempts?: number | undefined
  /** Where the log goes (nowhere). */
  logger?: Logger | undefined
}

/**
 * Connects to an address, and again whenever the connection is gone.
 *
 * It begins at once; whoever sends meanwhile waits, in the protocol object. It keeps the process
 * alive until it is closed.
 */
export class SocketClient extends Carrier {
  readonly IS_CLIENT = true
  readonly #address: Address | TcpAddress
  readonly #options: ConnectOptions<'socket_protocol', 'buffer'>
  readonly #minDelay: number
  readonly #maxDelay: number
  readonly #maxAttempts: number
  readonly #logger: Logger
  /** Ends the attempt that is under way. */
  #abort = new AbortController()
  #attempt: Promise<boolean> | undefined
  #timer: NodeJS.Timeout | undefined
  #failures = 0
  #since = 0
  #closed = false

  /**
   * Begins to connect.
   *
   * # Errors
   * TypeError and RangeError for options that are wrong, and for what is no address;
   * ERR_FDWIRE_BAD_ADDRESS.
   */
  constructor(address: Address | TcpAddress, options: SocketClientOptions = {}) {
    super()
    checkIsObject('SocketClient', options)
    checkNotFixed('SocketClient', options, ['signal'])
    const { minDelay, maxDelay, maxAttempts, logger, ...connection } = options
    this.#address = address
    this.#minDelay = checkInteger('minDelay', minDelay, 100, 1)
    this.#maxDelay = checkInteger('maxDelay', maxDelay, 10_000, this.#minDelay)
    this.#maxAttempts = checkInteger('maxAttempts', maxAttempts, 0, 0)
    this.#logger = checkLogger(logger)
    this.#options = { ...connection, protocol: 'socket_protocol', encoding: 'buffer' }
    checkOptions('connect', this.#options, address)
    if (isTcp(address)) checkTcp(address, 'The address', 1)
    else encodePeer(address)
    // Callbacks are registered until then.
    this.#timer = setTimeout(() => this.#try(), 0)
  }

  /** Ends the connection if there is one, and makes another now; whether that was made. */
  async reconnect(): Promise<boolean> {
    if (this.#closed) return false
    this.disconnect()
    this.#failures = 0
    return this.#try()
  }

  /**
   * Sends what waits, closes, and connects no more.
   *
   * # Errors
   * ERR_FDWIRE_TIMEOUT with `error.unsent` when the peer takes nothing more.
   */
  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    this.#abort.abort()
    await this.shut()
  }

  protected lost(): void {
    if (performance.now() - this.#since > this.#maxDelay) this.#failures = 0
    this.#schedule()
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
      if (this.#closed) {
        channel.destroy()
        return false
      }
      this.#since = performance.now()
      this.attach(channel)
      return this.isConnected()
    } catch (error) {
      if (this.#closed) return false
      this.#logger.warn(`socket_protocol: no connection: ${String(error)}`)
      this.#schedule()
      return false
    }
  }

  /** Another attempt, after a pause that not all who wait make alike. */
  #schedule(): void {
    if (this.#closed) return
    clearTimeout(this.#timer)
    this.#failures++
    if (this.#maxAttempts > 0 && this.#failures > this.#maxAttempts) {
      this.#logger.error('socket_protocol: no more attempts to connect')
      return
    }
    const pause = Math.min(this.#maxDelay, this.#minDelay * 2 ** Math.min(this.#failures - 1, 30))
    this.#timer = setTimeout(() => this.#try(), pause * (0.5 + Math.random() / 2))
  }
}
