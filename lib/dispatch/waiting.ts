import { clearTimeout, now, setTimeout } from '../util/timers.js'

/** Items that wait in order, each for at most the same time. */
export class WaitingList<T> {
  /** The items, and when each has waited too long (ms, as `now`). */
  readonly #deadlines = new Map<T, number>()
  readonly #timeout: number
  readonly #onTimeout: (item: T) => void
  #timer: NodeJS.Timeout | undefined

  /** `timeout` (ms, 0: no limit). An item that has waited for so long is passed to `onTimeout`. */
  constructor(timeout: number, onTimeout: (item: T) => void) {
    this.#timeout = timeout
    this.#onTimeout = onTimeout
  }

  get length(): number {
    return this.#deadlines.size
  }

  /** Returns the items, the oldest first. Items may be deleted meanwhile. */
  items(): Iterable<T> {
    return this.#deadlines.keys()
  }

  /** Adds an item at the end. */
  add(item: T): void {
    this.#deadlines.set(item, now() + this.#timeout)
    if (this.#timer === undefined) this.#start()
  }

  /** Removes an item. Returns whether it was there. */
  delete(item: T): boolean {
    const wasThere = this.#deadlines.delete(item)
    if (this.#deadlines.size === 0) this.#stop()
    return wasThere
  }

  /** Removes all items, and returns them. */
  clear(): T[] {
    const items = [...this.#deadlines.keys()]
    this.#deadlines.clear()
    this.#stop()
    return items
  }

  /** Starts the timer for the first item, which has the earliest deadline. */
  #start(): void {
    if (this.#timeout === 0) return
    for (const deadline of this.#deadlines.values()) {
      this.#timer = setTimeout(this.#onTimer, Math.max(1, Math.ceil(deadline - now())))
      return
    }
  }

  #stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  readonly #onTimer = (): void => {
    this.#timer = undefined
    const late: T[] = []
    const time = now()
    for (const [item, deadline] of this.#deadlines) {
      if (deadline > time) break
      late.push(item)
    }
    for (const item of late) this.#deadlines.delete(item)
    this.#start()
    for (const item of late) this.#onTimeout(item)
  }
}
