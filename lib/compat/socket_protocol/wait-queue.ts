import { abortError } from '../../util/errors.js'
import type { WaitLimits } from '../../util/wait.js'
import { startWait } from './wait.js'

/** How long a task waits, and for what. */
export interface TaskOptions extends WaitLimits {
  /** A further condition for running the task (default: always true). */
  isFree?: () => boolean
  /**
   * Called at the timeout. Returns whether the task expires (default: true) or waits for another
   * timeout.
   */
  isExpired?: () => boolean
}

interface Waiter {
  isFree: () => boolean
  run(): void
}

/** Tasks that wait until there is a connection. They run in the order in which they were added. */
export class WaitQueue {
  readonly #isOpen: () => boolean
  readonly #waiters = new Set<Waiter>()
  #isClosed = false

  /** `isOpen` returns whether tasks can run now. */
  constructor(isOpen: () => boolean) {
    this.#isOpen = isOpen
  }

  /** Whether `close` was called: no task runs any more. */
  get isClosed(): boolean {
    return this.#isClosed
  }

  /**
   * Runs a task as soon as possible, if possible at once. Resolves to its result, or to null at the
   * timeout and after `close`.
   *
   * # Errors
   * AbortError; the exception of the task.
   */
  run<T>(task: () => T | Promise<T>, options: TaskOptions): Promise<T | null> {
    const { timeout, signal, isFree = always, isExpired = always } = options
    if (this.#isClosed) return Promise.resolve(null)
    if (signal?.aborted) return Promise.reject(abortError(signal))
    return new Promise((resolve, reject) => {
      const start = () => {
        try {
          resolve(task())
        } catch (error) {
          reject(error)
        }
      }
      if (this.#waiters.size === 0 && this.#isOpen() && isFree()) {
        start()
        return
      }
      const leave = (settle: () => void) => {
        this.#waiters.delete(waiter)
        stopWait()
        settle()
      }
      const wait = () => startWait({ timeout, signal }, onTimeout, onAbort, true)
      const onTimeout = () => {
        if (isExpired()) leave(() => resolve(null))
        else stopWait = wait()
      }
      const onAbort = (error: Error) => leave(() => reject(error))
      const waiter = { isFree, run: () => leave(this.#isClosed ? () => resolve(null) : start) }
      let stopWait = wait()
      this.#waiters.add(waiter)
    })
  }

  /** Runs waiting tasks while that is possible. Call it when a condition has changed. */
  update(): void {
    for (const waiter of this.#waiters) {
      if (!this.#isOpen() || !waiter.isFree()) return
      waiter.run()
    }
  }

  /** Resolves all waiting tasks, and those that are added later, to null. */
  close(): void {
    this.#isClosed = true
    for (const waiter of this.#waiters) waiter.run()
  }
}

function always(): boolean {
  return true
}
