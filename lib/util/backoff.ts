/** How long to wait between attempts. */
export interface BackoffOptions {
  /** The delay before the first attempt (ms). It doubles with each further one. */
  minDelay: number
  /** The longest delay (ms). */
  maxDelay: number
  /** Failed attempts in a row after which there are no more (0: no limit). */
  maxAttempts: number
}

/** The delays between attempts to connect: they double, and jitter subtracts up to half. */
export class Backoff {
  readonly #options: BackoffOptions
  /** The failed attempts since the last success, and the doublings since the last long connection. */
  #failures = 0
  #doublings = 0

  constructor(options: BackoffOptions) {
    this.#options = options
  }

  /** Whether `maxAttempts` attempts in a row have failed. */
  get isExhausted(): boolean {
    const { maxAttempts } = this.#options
    return maxAttempts > 0 && this.#failures >= maxAttempts
  }

  /** Returns the delay before the next attempt (ms). Jitter avoids a thundering herd. */
  next(): number {
    const { minDelay, maxDelay } = this.#options
    const delay = Math.min(maxDelay, minDelay * 2 ** Math.min(this.#doublings++, 30))
    return delay * (0.5 + Math.random() / 2)
  }

  /** Counts a failed attempt. */
  fail(): void {
    this.#failures++
  }

  /** Counts a success: the attempts start afresh, the delays do not. */
  succeed(): void {
    this.#failures = 0
  }

  /** Makes the next delay the shortest one, because the last connection was of use. */
  reset(): void {
    this.#doublings = 0
    this.#failures = 0
  }
}
