import { type Channel, coreOf } from '../../channel/channel.js'
import { checkCallOptions } from '../../options/check.js'
import { checkBoolean } from '../../util/checks.js'
import { NO_OPTIONS } from '../../util/no-options.js'
import { BaseTransport } from './base-transport.js'

/** Options of a {@link ChannelTransport}. */
export interface ChannelTransportOptions {
  /** Whether this side is the client (false). Exactly one side must be the client. */
  isClient?: boolean | undefined
}

/**
 * A transport over one channel, with which it ends. Use it for the channels of `pair`, `adopt`,
 * `over` and `bind`. A `ProtocolServer` makes one for each peer.
 *
 * The channel needs the options `{ protocol: 'socket_protocol', encoding: 'buffer' }`.
 */
export class ChannelTransport extends BaseTransport {
  /** Whether this side is the client. */
  readonly IS_CLIENT: boolean
  readonly #channel: Channel<Buffer>
  readonly #onEnd: (() => void) | undefined

  /** `onEnd` is called when the connection has ended. */
  constructor(
    channel: Channel<Buffer>,
    options: ChannelTransportOptions = NO_OPTIONS,
    onEnd?: () => void,
  ) {
    super()
    checkCallOptions('ChannelTransport', options, ['isClient'])
    this.IS_CLIENT = checkBoolean('isClient', options.isClient)
    const { encoding } = coreOf(channel).options
    if (channel.protocol !== 'socket_protocol' || encoding !== 'buffer') {
      const actual = `${channel.protocol} with encoding ${encoding}`
      throw new TypeError(
        `ChannelTransport takes a channel of { protocol: 'socket_protocol', encoding: 'buffer' }, not one of ${actual}`,
      )
    }
    this.#channel = channel
    this.#onEnd = onEnd
    this.attach(channel)
  }

  /** Ends the connection and returns false, since there is no other channel. */
  reconnect(): boolean {
    this.disconnect()
    return false
  }

  /**
   * Sends the queue and closes.
   *
   * # Errors
   * ERR_FDWIRE_TIMEOUT with `error.unsent` if the peer does not read.
   */
  async close(): Promise<void> {
    await this.closeChannel(this.#channel)
  }

  protected onDisconnected(): void {
    this.#onEnd?.()
  }
}
