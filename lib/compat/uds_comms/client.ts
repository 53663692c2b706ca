import type { Channel } from '../../channel/channel.js'
import { connect } from '../../open/open.js'
import type { Address } from '../../options/address.js'
import { checkTimeout, checkWait, type WaitOptions } from '../../options/check.js'
import { Conversation } from './conversation.js'
import { firstOf, greet, limitOf } from './handshake.js'
import {
  CHANNEL,
  checkClientOptions,
  checkClientOver,
  type UdsClientOptions,
  type UdsOverOptions,
} from './options.js'

/** How long `connect` may take (ms). */
const CONNECT_TIMEOUT = 10_000

/** The client: it connects, says READY, and answers what the server asks. */
export class UdsClient {
  readonly #conversation: Conversation

  private constructor(conversation: Conversation) {
    this.#conversation = conversation
  }

  /**
   * Connects to a server, and shakes hands.
   *
   * # Errors
   * Those of the package's `connect`: ENOENT, ECONNREFUSED …; ERR_FDWIRE_HANDSHAKE where the server
   * answers anything but OK, or leaves; ERR_FDWIRE_TIMEOUT after `timeout`, or where the handshake
   * alone takes longer than `handshakeTimeout` (both ms, 10,000); AbortError. The connection is closed
   * then.
   */
  static async connect(path: Address, options: UdsClientOptions = {}): Promise<UdsClient> {
    const { handshakeTimeout, rest } = checkClientOptions(options)
    const whole = limitOf(checkTimeout(options.timeout, CONNECT_TIMEOUT), options.signal)
    const channel = await connect(path, { ...rest, ...CHANNEL })
    const limit = firstOf(whole, limitOf(handshakeTimeout, options.signal))
    return UdsClient.#greet(channel, limit)
  }

  /**
   * A client on a channel of uds_comms, of encoding text; it is the client's from then on.
   *
   * # Errors
   * As `connect`, whose `timeout` has no default here (ms, 0: none).
   */
  static async over(
    channel: Channel<string>,
    options: UdsOverOptions & WaitOptions = {},
  ): Promise<UdsClient> {
    const handshakeTimeout = checkClientOver(channel, options)
    const { timeout, signal } = checkWait('UdsClient.over', {
      timeout: options.timeout,
      signal: options.signal,
    })
    const limit = firstOf(limitOf(timeout, signal), limitOf(handshakeTimeout, signal))
    return UdsClient.#greet(channel, limit)
  }

  static async #greet(channel: Channel<string>, limit: ReturnType<typeof limitOf>) {
    const conversation = new Conversation(channel)
    try {
      await greet(channel, limit)
    } catch (error) {
      channel.destroy()
      throw error
    }
    return new UdsClient(conversation)
  }

  /** The channel underneath. */
  get channel(): Channel<string> {
    return this.#conversation.channel
  }

  /**
   * Sends a text; resolves when the kernel has it.
   *
   * # Errors
   * EPIPE when the server has gone; ERR_FDWIRE_UNENCODABLE for `''`, which no receiver of the original
   * can receive; ERR_FDWIRE_ILL_FORMED_TEXT; ERR_FDWIRE_QUEUE_FULL; ERR_FDWIRE_CLOSED; TypeError.
   */
  send(text: string): Promise<void> {
    return this.#conversation.send(text)
  }

  /**
   * Waits for a text; null at the end, from then on for ever.
   *
   * # Errors
   * Rejects for a malformed frame, and the next call gives what stands behind it. Rejects once for what
   * ends the connection: ERR_FDWIRE_CUT_SHORT where the peer has gone inside of a frame,
   * ERR_FDWIRE_MESSAGE_TOO_LARGE, ECONNRESET; null comes after that. ERR_FDWIRE_TIMEOUT, AbortError:
   * then no message was taken. ERR_FDWIRE_CLOSED after `close()`.
   */
  receive(options: WaitOptions = {}): Promise<string | null> {
    return this.#conversation.receive(options)
  }

  /**
   * Sends what waits, and closes. A second call gives the same promise.
   *
   * # Errors
   * Those of `Channel.close`.
   */
  close(): Promise<void> {
    return this.#conversation.close()
  }

  /** The same as `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
