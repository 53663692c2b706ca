import { constants } from 'node:os'
import { type Channel, coreOf } from '../../channel/channel.js'
import type { WaitOptions } from '../../options/check.js'
import { closedError, errorCode, systemError } from '../../util/errors.js'

/** The codes with which a channel fails because its peer has closed. */
const PEER_CLOSED: readonly unknown[] = [
  'ECONNRESET',
  'ERR_FDWIRE_CUT_SHORT',
  'ERR_FDWIRE_PEER_CLOSED',
]

/**
 * A connection whose calls return what those of the original return: texts, and null at the end.
 */
export class Connection {
  readonly channel: Channel<string>
  /** The error that the last `receive` rejected with. */
  #reported: unknown
  #isClosing = false

  constructor(channel: Channel<string>) {
    coreOf(channel).receiver.bufferMalformed()
    // An error rejects the pending calls, or else the next one.
    channel.on('error', () => {})
    this.channel = channel
  }

  async send(text: string): Promise<void> {
    if (this.#isClosing) throw closedError('send')
    try {
      await coreOf(this.channel).sendAndFlush(text)
    } catch (error) {
      throw this.#sendError(error)
    }
  }

  async receive(options: WaitOptions): Promise<string | null> {
    try {
      const message = await coreOf(this.channel).receive<string>(options, true)
      message?.fds.close()
      return message?.value ?? null
    } catch (error) {
      // A failed channel rejects every call with the same error. Here the first call rejects, and
      // later ones return null. A failed `send` has already rejected with EPIPE.
      if (error === this.#reported || errorCode(error) === 'EPIPE') return null
      this.#reported = error
      throw error
    }
  }

  close(): Promise<void> {
    this.#isClosing = true
    return this.channel.close()
  }

  /** Returns EPIPE if the peer has closed, whichever error the channel reports; else `error`. */
  #sendError(error: unknown): unknown {
    if (!PEER_CLOSED.includes(errorCode(error))) return error
    return systemError(constants.errno.EPIPE, 'sendmsg', { cause: error })
  }
}
