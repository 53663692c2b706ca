import { abortError } from '../../util/errors.js'

/** How somebody waits. */
export interface Passing {
  /** How long (ms, 0: for ever). */
  timeout: number
  signal?: AbortSignal | undefined
  /** What else must be true (nothing). */
  isFree?: () => boolean
  /** Whether it is over at the timeout (true), or begins anew. */
  isOver?: () => boolean
}

interface Waiter {
  isFree: () => boolean
  run(): void
}

/**
 * Whoever wants to send waits here until there is a connection, and goes out in the order of the
 * calls.
 */
export class Gate {
  readonly #isOpen: () => boolean
  readonly #waiters = new Set<Waiter>()
  #closed = false

  /** `isOpen` says whether something can be sent now. */
  constructor(isOpen: () => boolean) {
    this.#isOpen = isOpen
  }

  /** Whether nobody gets through any more. */
  get isClosed(): boolean {
    return this.#closed
  }

  /** Calls `run` as soon as that may be, at once where it may be now; null when it was not in time. */
  pass<T>(run: () => T | Promise<T>, passing: Passing): Promise<T | null> {
    const { timeout, signal, isFree = always, isOver = always } = passing
    if (this.#closed) return Promise.resolve(null)
    if (signal?.aborted) return Promise.reject(abortError(signal))
    return new Promise((resolve, reject) => {
      const go = () => {
        try {
          resolve(run())
        } catch (error) {
          reject(error)
        }
      }
      if (this.#waiters.size === 0 && this.#isOpen() && isFree()) {
        go()
        return
      }
      let timer: NodeJS.Timeout | undefined
      const finish = (settle: () => void) => {
        this.#waiters.delete(waiter)
        clearTimeout(timer)
        signal?.removeEventListener('abort', onAbort)
        settle()
      }
      const watch = () => {
        if (isOver()) finish(() => resolve(null))
        else timer = setTimeout(watch, timeout)
      }
      if (timeout > 0) timer = setTimeout(watch, timeout)
      const onAbort = () => finish(() => reject(abortError(signal as AbortSignal)))
      signal?.addEventListener('abort', onAbort, { once: true })
      const waiter = { isFree, run: () => finish(this.#closed ? () => resolve(null) : go) }
      this.#waiters.add(waiter)
    })
  }

  /** Lets those through who wait, as long as something can be sent. */
  open(): void {
    for (const waiter of this.#waiters) {
      if (!this.#isOpen() || !waiter.isFree()) return
      waiter.run()
    }
  }

  /** Nobody gets through any more. */
  close(): void {
    this.#closed = true
    for (const waiter of this.#waiters) waiter.run()
  }
}

function always(): boolean {
  return true
}
