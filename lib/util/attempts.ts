import { clearTimeout, now, setTimeout } from './timers.js'

/** How often attempts are made. */
export interface AttemptsOptions {
  /** The delay before the first attempt (ms). It doubles with each further one. */
  minDelay: number
  /** The longest delay (ms). */
  maxDelay: number
  /** Failed attempts in a row after which there are no more (0: no limit). */
  maxAttempts: number
}

/** What an attempt does. */
export interface Attempt<T> {
  /** Makes a connection. `signal` is aborted by `stop()`. */
  open(signal: AbortSignal): Promise<T>
  /** Gets the connection. */
  onOpened(connection: T): void
  /** Closes a connection that was made after `stop()`. */
  discard(connection: T): void
  /** Gets the error of each failed attempt. */
  onFailed?(error: Error): void
  /** Called with the error of the last attempt, after which there are no more. */
  onExhausted(error: Error): void
  /** Whether the delays keep the process alive. */
  keepsAlive: boolean
}

/**
 * Attempts to connect, until one succeeds. The delays between them double, and jitter subtracts up to
 * half: otherwise all clients of a server that restarts would connect at the same moment.
 *
 * ```text
 *  idle ──lose──► waits for the delay ──► attempt ──► connected ──lose──► …
 *    └────now─────────────────────────────►  │  ▲ fails: waits again, or gives up
 *                                            └──┘
 * ```
 */
export class Attempts<T> {
  readonly #options: AttemptsOptions
  readonly #attempt: Attempt<T>
  readonly #abort = new AbortController()
  /** The failed attempts in a row. */
  #failures = 0
  /** How often the delay has doubled since the last connection that was of use. */
  #doublings = 0
  #connectedAt = now()
  #timer: NodeJS.Timeout | undefined
  /** The attempt in progress. Resolves to whether it has succeeded. */
  #current: Promise<boolean> | undefined

  constructor(options: AttemptsOptions, attempt: Attempt<T>) {
    this.#options = options
    this.#attempt = attempt
  }

  /**
   * Makes attempts, because the connection is lost. The delays begin with the shortest one if the
   * connection `wasUseful`, or has lasted for longer than the longest delay.
   */
  lose(wasUseful: boolean): void {
    if (wasUseful || now() - this.#connectedAt > this.#options.maxDelay) this.#doublings = 0
    this.#failures = 0
    this.#schedule()
  }

  /**
   * Makes an attempt at once, after which the delays begin with the shortest one. It does not count
   * as one of `maxAttempts`. Resolves to whether it succeeds. An attempt in progress takes its place.
   */
  now(): Promise<boolean> {
    clearTimeout(this.#timer)
    this.#failures = 0
    this.#doublings = 0
    return this.#run(false)
  }

  /** Makes no further attempt, whatever is called. */
  stop(): void {
    clearTimeout(this.#timer)
    this.#abort.abort()
  }

  /** Sets the timer of the next attempt, unless one is in progress or there are no more. */
  #schedule(): void {
    clearTimeout(this.#timer)
    if (this.#abort.signal.aborted || this.#current !== undefined) return
    const { minDelay, maxDelay } = this.#options
    const delay = Math.min(maxDelay, minDelay * 2 ** Math.min(this.#doublings++, 30))
    this.#timer = setTimeout(() => void this.#run(true), delay * (0.5 + Math.random() / 2))
    if (!this.#attempt.keepsAlive) this.#timer.unref()
  }

  #run(counts: boolean): Promise<boolean> {
    this.#current ??= this.#try(counts)
    return this.#current
  }

  async #try(counts: boolean): Promise<boolean> {
    const { signal } = this.#abort
    if (signal.aborted) return false
    let connection: T
    try {
      connection = await this.#attempt.open(signal)
    } catch (error) {
      this.#current = undefined
      if (!signal.aborted) this.#fail(error as Error, counts)
      return false
    }
    if (signal.aborted) {
      this.#attempt.discard(connection)
      return false
    }
    this.#current = undefined
    this.#connectedAt = now()
    this.#attempt.onOpened(connection)
    return true
  }

  #fail(error: Error, counts: boolean): void {
    const { maxAttempts } = this.#options
    if (counts) this.#failures++
    const isLast = maxAttempts > 0 && this.#failures >= maxAttempts
    // The callbacks come last: they may throw, stop the attempts, or make another one.
    if (!isLast) this.#schedule()
    this.#attempt.onFailed?.(error)
    const isIdle = !this.#abort.signal.aborted && this.#current === undefined
    if (isLast && isIdle) this.#attempt.onExhausted(error)
  }
}
