import { clearTimeout, setTimeout } from '../../util/timers.js'
import type { RequestQueues } from './request-queues.js'

/** How long no request may complete before more are let in (ms), while this side awaits the peer. */
const STALL_TIME = 50

/**
 * Makes the transport stop reading while too many requests are in progress.
 *
 * While this side awaits a message of the peer, that message may be behind the requests that are held back,
 * and callbacks may depend on it: stopping would be a deadlock. So then the limit rises step by step
 * whenever no request has completed for `STALL_TIME`, up to the limit at which the connection is closed.
 */
export class BackPressure {
  readonly #requests: RequestQueues
  readonly #isAwaitingPeer: () => boolean
  /** The factor by which the limit is raised. */
  #factor = 1
  #timer: NodeJS.Timeout | undefined
  /** Settles all promises of `resumed`. */
  #resume: (() => void) | undefined

  constructor(requests: RequestQueues, isAwaitingPeer: () => boolean) {
    this.#requests = requests
    this.#isAwaitingPeer = isAwaitingPeer
  }

  /** Resolves when the transport may read on; undefined if it need not stop. */
  get resumed(): Promise<void> | undefined {
    if (!this.#requests.isCrowded(this.#factor)) return undefined
    this.#watch()
    return new Promise(resolve => {
      const before = this.#resume
      this.#resume = () => {
        before?.()
        resolve()
      }
    })
  }

  /** Lets the transport read on if possible. Call it when a request completes or a wait begins or ends. */
  update(): void {
    if (!this.#requests.isCrowded(1)) this.#factor = 1
    if (this.#resume === undefined) return
    if (this.#requests.isCrowded(this.#factor)) {
      this.#watch()
      return
    }
    const resume = this.#resume
    this.#resume = undefined
    clearTimeout(this.#timer)
    this.#timer = undefined
    resume()
  }

  #watch(): void {
    if (this.#timer !== undefined || !this.#isAwaitingPeer()) return
    const { completed } = this.#requests
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      if (this.#isAwaitingPeer() && this.#requests.completed === completed) this.#factor++
      this.update()
    }, STALL_TIME).unref()
  }
}
