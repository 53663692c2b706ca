import { constants } from 'node:os'
import type { Channel } from '../../channel/channel.js'
import type { WaitOptions } from '../../options/check.js'
import { closedError, systemError } from '../../util/errors.js'

/** What a channel fails with when its peer is gone. */
const GONE = new Set(['ECONNRESET', 'ERR_FDWIRE_CUT_SHORT'])

/** One connection, of a server or a client, in the original's terms: texts, and null at the end. */
export class Conversation {
  readonly channel: Channel<string>
  /** What the last `receive` has rejected with. */
  #told: unknown
  #ended = false
  #closing = false

  constructor(channel: Channel<string>) {
    channel.keepMalformed()
    // Nobody but the promises tells of an error: one that comes when none waits is the next one's.
    channel.on('error', () => {})
    channel.on('end', () => {
      this.#ended = true
    })
    this.channel = channel
  }

  async send(text: string): Promise<void> {
    if (this.#closing) throw closedError('send')
    try {
      await this.channel.sendAndFlush(text)
    } catch (error) {
      throw this.#whyNotSent(error as Error & { code?: string })
    }
  }

  async receive(options: WaitOptions): Promise<string | null> {
    try {
      const message = await this.channel.receiveStrictly(options)
      message?.fds.close()
      return message?.value ?? null
    } catch (error) {
      // What a channel has failed with comes again and again: told once, it is the end. A `send` that
      // failed for the peer's end has told of that.
      if (error === this.#told || (error as { code?: string }).code === 'EPIPE') return null
      this.#told = error
      throw error
    }
  }

  close(): Promise<void> {
    this.#closing = true
    return this.channel.close()
  }

  /** The kernel's own answer, whichever way the channel came to know that the peer is gone. */
  #whyNotSent(error: Error & { code?: string }): Error {
    const { code = '' } = error
    const isGone = GONE.has(code) || (code === 'ERR_FDWIRE_CLOSED' && this.#ended)
    if (!isGone) return error
    return Object.assign(systemError(constants.errno.EPIPE, 'sendmsg'), { cause: error })
  }
}
