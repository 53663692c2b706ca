import { Counter } from '#native'
import type { ChannelHandle } from '../native/handle.js'
import { type Address, isSameAddress } from '../options/address.js'
import { clearTimeout, setTimeout } from '../util/timers.js'

interface FlushWaiter {
  /** The waiter waits for all queued messages with numbers below this. */
  until: number
  /**
   * If the waiter waits for a single message: its destination, null for the peer. The waiter is
   * also done when nothing is queued for that destination.
   */
  to?: Address | null
  resolve(): void
  reject(error: unknown): void
}

/**
 * The calls that wait until the kernel has taken messages: `flush()`, `close()`, `sendAndFlush()`.
 */
export class FlushWaiters {
  readonly #handle: ChannelHandle
  #waiters: FlushWaiter[] = []
  #onEmpty: (() => void) | undefined
  /** The number that the next queued message would have had at the beginning of this turn. */
  #nextAtTurn = 0

  constructor(handle: ChannelHandle) {
    this.#handle = handle
  }

  /** Waits until the kernel has taken everything that is queued now. */
  wait(): Promise<void> {
    if (this.#handle.counter(Counter.OldestQueued) === 0) return Promise.resolve()
    return this.#wait({ until: this.#handle.counter(Counter.NextQueued) })
  }

  /** Waits until the kernel has taken a queued message, or everything that is queued for `to`. */
  waitFor(seq: number, to: Address | undefined): Promise<void> {
    return this.#wait({ until: seq + 1, to: to ?? null })
  }

  /** Resolves to false when the queue is empty, or to true after `timeout` (ms, 0: no limit). */
  isLate(timeout: number): Promise<boolean> {
    return new Promise(resolve => {
      // The channel keeps the process alive unless it is unref'd; the timer does not.
      const timer = timeout > 0 ? setTimeout(resolve, timeout, true).unref() : undefined
      this.#onEmpty = () => {
        clearTimeout(timer)
        resolve(false)
      }
      this.#handle.watchQueue(true)
    })
  }

  /** Begins a turn with events: its records do not count messages that are sent during the turn. */
  beginTurn(): void {
    if (this.#waiters.length > 0) this.#nextAtTurn = this.#handle.counter(Counter.NextQueued)
  }

  /** Handles the event that messages have left a queue: resolves the calls that waited for them. */
  onProgress(): void {
    if (this.#isIdle) return
    const oldest = this.#handle.counter(Counter.OldestQueued)
    this.#resolve(({ until }) => oldest === 0 || until <= oldest)
    if (oldest === 0) this.#reportEmpty()
    if (this.#isIdle) this.#handle.watchQueue(false)
  }

  /** Handles the event that the queue for a destination (undefined: the peer) is empty. */
  onDrained(to: Address | undefined): void {
    if (this.#waiters.length > 0) {
      const next = this.#nextAtTurn
      this.#resolve(waiter => waiter.until <= next && isTo(waiter, to ?? null))
    }
    this.onProgress()
  }

  /** Rejects the calls that wait for a message, which was not delivered. */
  fail(seq: number, error: unknown): void {
    const failed = this.#take(({ until, to }) =>
      to === undefined ? until > seq : until === seq + 1,
    )
    for (const waiter of failed) waiter.reject(error)
    this.onProgress()
  }

  /** Rejects all calls, because the queue was dropped. Returns whether there was one. */
  failAll(error: unknown): boolean {
    const failed = this.#waiters
    this.#waiters = []
    for (const waiter of failed) waiter.reject(error)
    this.#reportEmpty()
    return failed.length > 0
  }

  get #isIdle(): boolean {
    return this.#waiters.length === 0 && this.#onEmpty === undefined
  }

  #wait(how: { until: number; to?: Address | null }): Promise<void> {
    this.#handle.watchQueue(true)
    return new Promise((resolve, reject) => {
      this.#waiters.push({ ...how, resolve, reject })
    })
  }

  #resolve(isDone: (waiter: FlushWaiter) => boolean): void {
    for (const waiter of this.#take(isDone)) waiter.resolve()
  }

  #take(test: (waiter: FlushWaiter) => boolean): FlushWaiter[] {
    const taken = this.#waiters.filter(test)
    if (taken.length > 0) this.#waiters = this.#waiters.filter(waiter => !taken.includes(waiter))
    return taken
  }

  #reportEmpty(): void {
    const onEmpty = this.#onEmpty
    this.#onEmpty = undefined
    onEmpty?.()
  }
}

function isTo({ to: waiting }: FlushWaiter, to: Address | null): boolean {
  if (waiting === undefined) return false
  if (waiting === null || to === null) return waiting === to
  return isSameAddress(waiting, to)
}
