import type { Channel } from '../../channel/channel.js'
import { connect, encodePeer } from '../../open/connect.js'
import { type Address, checkTcp, isTcp, type TcpAddress } from '../../options/address.js'
import { type ConnectOptions, checkIsObject, checkOptions } from '../../options/check.js'
import { Attempts } from '../../util/attempts.js'
import { checkInteger } from '../../util/checks.js'
import { NO_OPTIONS } from '../../util/no-options.js'
import { clearTimeout, setTimeout } from '../../util/timers.js'
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
  /**
   * Failed attempts in a row after which it waits for `reconnect()` (0: no limit). The first attempt,
   * and that of `reconnect()`, are made at once and do not count.
   */
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
  readonly #attempts: Attempts<Channel<Buffer>>
  readonly #start: NodeJS.Timeout

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
    const checked: ConnectOptions<'socket_protocol', 'buffer'> = {
      ...connection,
      protocol: 'socket_protocol',
      encoding: 'buffer',
    }
    const least = checkInteger('minDelay', minDelay, 100, 1)
    const delays = {
      minDelay: least,
      maxDelay: checkInteger('maxDelay', maxDelay, 10_000, least),
      maxAttempts: checkInteger('maxAttempts', maxAttempts, 0, 0),
    }
    const log = checkLogger(logger)
    checkOptions('connect', checked, address)
    if (isTcp(address)) checkTcp(address, 'The address', 1)
    else encodePeer(address)
    this.#attempts = new Attempts(delays, {
      open: signal => connect(address, { ...checked, signal }),
      onOpened: channel => this.attach(channel),
      discard: channel => channel.destroy(),
      onFailed: error => log.warn(`socket_protocol: could not connect: ${String(error)}`),
      onExhausted: () =>
        log.error(
          `socket_protocol: no more attempts to connect: maxAttempts (${delays.maxAttempts}) have failed`,
        ),
      keepsAlive: true,
    })
    // Connects after this tick, in which the caller registers callbacks.
    this.#start = setTimeout(() => void this.#attempts.now(), 0)
  }

  /** Ends the connection, if there is one, and connects. Resolves to whether that succeeded. */
  async reconnect(): Promise<boolean> {
    clearTimeout(this.#start)
    this.disconnect()
    await this.#attempts.now()
    return this.isConnected()
  }

  /**
   * Sends the queue, closes, and does not reconnect.
   *
   * # Errors
   * ERR_FDWIRE_TIMEOUT with `error.unsent` if the peer does not read.
   */
  async close(): Promise<void> {
    clearTimeout(this.#start)
    this.#attempts.stop()
    await this.closeChannel()
  }

  protected onDisconnected(): void {
    this.#attempts.lose(false)
  }
}
