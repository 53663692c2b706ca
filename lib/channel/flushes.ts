import { environment } from '../native/environment.js'
import type { ChannelHandle } from '../native/handle.js'
import { type Address, isSameAddress } from '../options/address.js'

interface Flush {
  /** The first queued message that it does not wait for. */
  until: number
  /** Where it waits for the one message before that, which goes there (null: to the peer). */
  to?: Address | null
  resolve(): void
  reject(error: unknown): void
}

/**
 * Who waits for a channel's queues: the `flush()` calls, each for what was sent before, those that
 * wait for one message, and `close()`.
 */
export class Flushes {
  readonly #owner: ChannelHandle
  #waiting: Flush[] = []
  #whenEmpty: (() => void) | undefined
  /** The next message to be queued, when this turn began. */
  #turnBegan = 0

  constructor(owner: ChannelHandle) {
    this.#owner = owner
  }

  /** Waits until the kernel has all that is queued now. */
  wait(): Promise<void> {
    const { oldest, next } = this.#numbers()
    return oldest === 0 ? Promise.resolve() : this.#wait({ until: next })
  }

  /** Waits until the kernel has the message with this number, at the latest when it has all for `to`. */
  waitFor(seq: number, to: Address | undefined): Promise<void> {
    return this.#wait({ until: seq + 1, to: to ?? null })
  }

  /** Waits until nothing is queued any more, whatever became of it; whether that took too long (ms). */
  isLate(timeout: number): Promise<boolean> {
    return new Promise(resolve => {
      // The channel keeps the process alive, or not if it is unref'd: this alone shall not.
      const timer = timeout > 0 ? setTimeout(resolve, timeout, true).unref() : undefined
      this.#whenEmpty = () => {
        clearTimeout(timer)
        resolve(false)
      }
      if (this.#numbers().oldest === 0) this.#empty()
      else environment.watch(this.#owner.index, true)
    })
  }

  /** A turn begins that tells of queues: what it tells was before anything that is sent in it. */
  beginTurn(): void {
    if (this.#waiting.length > 0) this.#turnBegan = this.#numbers().next
  }

  /** Something that was queued has been settled. */
  settle(): void {
    if (this.#waiting.length === 0 && this.#whenEmpty === undefined) return
    const { oldest } = this.#numbers()
    this.#resolve(flush => oldest === 0 || flush.until <= oldest)
    if (oldest === 0) this.#empty()
    if (this.#waiting.length === 0 && this.#whenEmpty === undefined) {
      environment.watch(this.#owner.index, false)
    }
  }

  /** All that was queued for a destination (undefined: the peer) has been settled. */
  settleAll(to: Address | undefined): void {
    if (this.#waiting.length > 0) {
      const began = this.#turnBegan
      this.#resolve(flush => flush.until <= began && isTo(flush, to ?? null))
    }
    this.settle()
  }

  /** The message with this number was given up. */
  fail(seq: number, error: unknown): void {
    const failed = this.#take(({ until, to }) =>
      to === undefined ? until > seq : until === seq + 1,
    )
    for (const flush of failed) flush.reject(error)
  }

  /** All that was queued was dropped; whether a `flush()` hears of it. */
  failAll(error: unknown): boolean {
    const failed = this.#waiting
    this.#waiting = []
    for (const flush of failed) flush.reject(error)
    this.#empty()
    return failed.length > 0
  }

  /** The whole number of a queued message, of which native code tells the lowest 31 bits. */
  wholeNumber(low: number): number {
    const { next } = this.#numbers()
    return next - ((next - low) % 2 ** 31)
  }

  #wait(how: { until: number; to?: Address | null }): Promise<void> {
    environment.watch(this.#owner.index, true)
    return new Promise((resolve, reject) => {
      this.#waiting.push({ ...how, resolve, reject })
    })
  }

  #resolve(which: (flush: Flush) => boolean): void {
    for (const flush of this.#take(which)) flush.resolve()
  }

  #take(which: (flush: Flush) => boolean): Flush[] {
    const taken = this.#waiting.filter(which)
    if (taken.length > 0) this.#waiting = this.#waiting.filter(flush => !taken.includes(flush))
    return taken
  }

  #empty(): void {
    const done = this.#whenEmpty
    this.#whenEmpty = undefined
    done?.()
  }

  #numbers(): { oldest: number; next: number } {
    return environment.queueNumbers(this.#owner.index)
  }
}

function isTo(flush: Flush, to: Address | null): boolean {
  if (flush.to === undefined) return false
  if (flush.to === null || to === null) return flush.to === to
  return isSameAddress(flush.to, to)
}
