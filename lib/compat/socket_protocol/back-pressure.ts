import { clearTimeout, setTimeout } from '../../util/timers.js'
import type { RequestQueues } from './request-queues.js'

/** How long no request completes before the limit is raised, while this side waits (ms). */
const STALL_TIME = 50

/**
 * Makes the transport stop reading while too many requests are in progress.
 *
 * This side may be waiting for a message of the peer, and a callback may depend on it. If that
 * message follows requests that are not read yet, both sides deadlock. So while this side waits,
 * the limit is raised whenever no request has completed for `STALL_TIME`. At `maxWaiting` requests
 * the connection is closed in any case.
 */
export class BackPressure {
  readonly #requests: RequestQueues
  readonly #isAwaitingPeer: () => boolean
  /** The factor by which the limit is raised now. */
  #factor = 1
  #timer: NodeJS.Timeout | undefined
  /** Resolves all pending promises of `resumed`; undefined if there are none. */
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

  /**
   * Lets the transport read on if possible. Call it when the number of requests or the waits of
   * this side change.
   */
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
