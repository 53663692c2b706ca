import { nextTick } from '../../util/timers.js'
import type { Channel } from '../channel.js'
import type { Shared } from './context.js'

/** The connection of a channel, as its handlers see it. A channel with `reconnect` may have several. */
export class ServedConnection implements Shared {
  readonly channel: Channel
  readonly #watchHangUp: () => void
  #abort: AbortController | undefined
  #reason: Error | undefined
  #isOver = false

  /** `watchHangUp` is called when a handler first reads the signal. */
  constructor(channel: Channel, watchHangUp: () => void) {
    this.channel = channel
    this.#watchHangUp = watchHangUp
  }

  /** The signal of the handlers, which is made when one of them first reads it. */
  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController()
      if (this.#isOver) this.#abort.abort(this.#reason)
      else this.#watchHangUp()
    }
    return this.#abort.signal
  }

  /** Aborts the signal now, because no reply reaches the peer. */
  hangUp(reason: Error): void {
    this.#abort?.abort(reason)
  }

  /** Aborts the signal in the next tick: no reply is sent any more. The first reason counts. */
  end(reason: Error | undefined): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#reason = reason
    nextTick(() => this.#abort?.abort(this.#reason))
  }
}
