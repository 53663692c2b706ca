import type { Channel } from '../../channel/channel.js'
import { connect } from '../../open/connect.js'
import type { Address } from '../../options/address.js'
import { checkTimeout, checkWait, type WaitOptions } from '../../options/check.js'
import { NO_OPTIONS } from '../../util/no-options.js'
import { Deadline } from '../../util/wait.js'
import { Connection } from './connection.js'
import { clientHandshake, type Limits } from './handshake.js'
import {
  CHANNEL,
  checkClientOptions,
  checkOver,
  type UdsClientOptions,
  type UdsOverOptions,
} from './options.js'

/** Default `timeout` of `connect` (ms). */
const CONNECT_TIMEOUT = 10_000

/** The client: it connects, sends READY, and answers the server's messages. */
export class UdsClient {
  readonly #connection: Connection

  private constructor(connection: Connection) {
    this.#connection = connection
  }

  /**
   * Connects to a server and performs the handshake. Closes the connection if that fails.
   *
   * # Errors
   * Those of fdwire's `connect`: ENOENT, ECONNREFUSED …; ERR_FDWIRE_HANDSHAKE if the server
   * sends anything but OK, or closes; ERR_FDWIRE_TIMEOUT after `timeout`, or if the handshake alone
   * takes longer than `handshakeTimeout` (both ms, 10,000); AbortError.
   */
  static async connect(path: Address, options: UdsClientOptions = NO_OPTIONS): Promise<UdsClient> {
    const { handshakeTimeout, rest } = checkClientOptions(options)
    const { signal } = options
    const whole = new Deadline(checkTimeout(options.timeout, CONNECT_TIMEOUT))
    const channel = await connect(path, { ...rest, ...CHANNEL })
    const deadline = Deadline.first(whole, new Deadline(handshakeTimeout))
    return UdsClient.#shakeHands(channel, { deadline, signal })
  }

  /**
   * Performs the handshake on a uds_comms channel of encoding `'text'`, which the client owns
   * afterwards.
   *
   * # Errors
   * Those of `connect`. `timeout` has no default here (ms; 0: no limit).
   */
  static async over(
    channel: Channel<string>,
    options: UdsOverOptions & WaitOptions = NO_OPTIONS,
  ): Promise<UdsClient> {
    const handshakeTimeout = checkOver('UdsClient.over', channel, options, ['timeout', 'signal'])
    const { timeout, signal } = checkWait('UdsClient.over', options, 0, ['handshakeTimeout'])
    const deadline = Deadline.first(new Deadline(timeout), new Deadline(handshakeTimeout))
    return UdsClient.#shakeHands(channel, { deadline, signal })
  }

  static async #shakeHands(channel: Channel<string>, limits: Limits): Promise<UdsClient> {
    const connection = new Connection(channel)
    try {
      await clientHandshake(channel, limits)
    } catch (error) {
      channel.destroy()
      throw error
    }
    return new UdsClient(connection)
  }

  /** The channel underneath. */
  get channel(): Channel<string> {
    return this.#connection.channel
  }

  /**
   * Sends a text. Resolves when the kernel has taken it.
   *
   * # Errors
   * EPIPE if the server has closed; ERR_FDWIRE_UNENCODABLE for `''`, which no receiver of the
   * original delivers; ERR_FDWIRE_ILL_FORMED_TEXT; ERR_FDWIRE_QUEUE_FULL; ERR_FDWIRE_CLOSED;
   * TypeError.
   */
  send(text: string): Promise<void> {
    return this.#connection.send(text)
  }

  /**
   * Waits for a text; null at the end, and in all later calls.
   *
   * # Errors
   * The error of a malformed frame, after which the next call returns the next frame; the error
   * that ended the connection (ERR_FDWIRE_CUT_SHORT if the peer closed inside a frame,
   * ERR_FDWIRE_MESSAGE_TOO_LARGE, ECONNRESET), once, after which calls return null;
   * ERR_FDWIRE_TIMEOUT after `timeout` (ms, default 0: no limit) and AbortError, which take no
   * message; ERR_FDWIRE_CLOSED after `close()`.
   */
  receive(options: WaitOptions = NO_OPTIONS): Promise<string | null> {
    return this.#connection.receive(options)
  }

  /**
   * Sends the queue, then closes. A second call returns the same promise.
   *
   * # Errors
   * Those of `Channel.close`.
   */
  close(): Promise<void> {
    return this.#connection.close()
  }

  /** The same as `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
