import type { Channel } from '../../channel/channel.js'
import { checkCallOptions } from '../../options/check.js'
import { checkBoolean } from '../../util/checks.js'
import { Carrier } from './carrier.js'

/** Options of a {@link ChannelTransport}. */
export interface ChannelTransportOptions {
  /** Whether this side is the client (false). One of two sides must be. */
  isClient?: boolean | undefined
}

/**
 * Carries bodies over one channel, and is at its end with it: for `pair`, `adopt`, `over`, a datagram
 * socket, and for each peer of a `ProtocolServer`.
 *
 * The channel is one of `{ protocol: 'socket_protocol', encoding: 'buffer' }`.
 */
export class ChannelTransport extends Carrier {
  readonly IS_CLIENT: boolean
  readonly #channel: Channel<Buffer>
  readonly #onLost: (() => void) | undefined

  /** `onLost` is called when the connection is gone. */
  constructor(
    channel: Channel<Buffer>,
    options: ChannelTransportOptions = {},
    onLost?: () => void,
  ) {
    super()
    checkCallOptions('ChannelTransport', options, ['isClient'])
    this.IS_CLIENT = checkBoolean('isClient', options.isClient)
    if (channel.protocol !== 'socket_protocol' || channel.encoding !== 'buffer') {
      const what = `${channel.protocol} with encoding ${channel.encoding}`
      throw new TypeError(
        `The channel must be of { protocol: 'socket_protocol', encoding: 'buffer' }, not of ${what}`,
      )
    }
    this.#channel = channel
    this.#onLost = onLost
    this.attach(channel)
  }

  /** There is no other connection to be had: ends this one. */
  reconnect(): boolean {
    this.disconnect()
    return false
  }

  /**
   * Sends what waits, and closes.
   *
   * # Errors
   * ERR_FDWIRE_TIMEOUT with `error.unsent` when the peer takes nothing more.
   */
  async close(): Promise<void> {
    await this.shut(this.#channel)
  }

  protected lost(): void {
    this.#onLost?.()
  }
}
