import type { Responder } from './responder.js'

/** How long nothing may be done before more is let in (ms), where we wait for the peer ourselves. */
const MOMENT = 50

/**
 * Holds the transport back while there is too much to do.
 *
 * Where we wait for the peer as well, what we wait for may stand behind what is held, and what is done
 * here may depend on it. So then more is let in whenever nothing was done for a moment: up to the limit
 * at which the connection is given up.
 */
export class Hold {
  readonly #responder: Responder
  readonly #isAwaiting: () => boolean
  /** How many times as much as usual is let in. */
  #patience = 1
  #timer: NodeJS.Timeout | undefined
  #release: (() => void) | undefined

  constructor(responder: Responder, isAwaiting: () => boolean) {
    this.#responder = responder
    this.#isAwaiting = isAwaiting
  }

  /** A promise where the transport shall wait until it is settled. */
  get wait(): Promise<void> | undefined {
    if (!this.#responder.isCrowded(this.#patience)) return undefined
    this.#watch()
    return new Promise(resolve => {
      const before = this.#release
      this.#release = () => {
        before?.()
        resolve()
      }
    })
  }

  /** Something was done, or is waited for: lets the transport go on, if it may. */
  update(): void {
    if (!this.#responder.isCrowded(1)) this.#patience = 1
    if (this.#release === undefined) return
    if (this.#responder.isCrowded(this.#patience)) {
      this.#watch()
      return
    }
    const release = this.#release
    this.#release = undefined
    clearTimeout(this.#timer)
    this.#timer = undefined
    release()
  }

  #watch(): void {
    if (this.#timer !== undefined || !this.#isAwaiting()) return
    const { done } = this.#responder
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      if (this.#isAwaiting() && this.#responder.done === done) this.#patience++
      this.update()
    }, MOMENT).unref()
  }
}
