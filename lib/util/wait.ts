import { abortError, timeoutError } from './errors.js'
import { clearTimeout, now, setTimeout } from './timers.js'

/** The limits of an operation that waits. */
export interface WaitLimits {
  /** How long it may take (ms, 0: no limit). */
  timeout: number
  /** Aborts it. */
  signal?: AbortSignal | undefined
}

/** How a wait reports its timeout, and whether its timer keeps the process alive. */
export interface WaitDetails {
  /** The beginning of the timeout error's message (`'No message arrived'`), or makes the error. */
  late: string | (() => Error)
  /**
   * Whether the timer keeps the process alive (false). It must not where a channel or listener is
   * open, which keeps the process alive itself unless the program has unref'd it.
   */
  keepsAlive?: boolean
}

/**
 * Calls `onLimit` once, when the timeout expires or the signal is aborted, whichever comes first.
 *
 * Returns a function that stops both. Call it when the operation is done.
 *
 * `onLimit` gets ERR_FDWIRE_TIMEOUT or an AbortError. The caller must check beforehand whether the
 * signal is already aborted.
 */
export function startLimits(
  { timeout, signal }: WaitLimits,
  { late, keepsAlive = false }: WaitDetails,
  onLimit: (error: Error) => void,
): () => void {
  const end = (error: Error) => {
    stop()
    onLimit(error)
  }
  const onTimeout = () => end(typeof late === 'string' ? timeoutError(late, timeout) : late())
  const timer = timeout > 0 ? setTimeout(onTimeout, timeout) : undefined
  if (!keepsAlive) timer?.unref()
  const unwatch = signal === undefined ? undefined : watchAbort(signal, end)
  const stop = () => {
    clearTimeout(timer)
    unwatch?.()
  }
  return stop
}

/**
 * All waits with the same signal. They share one abort listener: adding a listener takes time in
 * proportion to the number of listeners, and Node reports more than ten as a leak.
 */
class AbortWatch {
  readonly #signal: AbortSignal
  readonly #waits = new Set<(error: Error) => void>()

  constructor(signal: AbortSignal) {
    this.#signal = signal
  }

  add(end: (error: Error) => void): void {
    if (this.#waits.size === 0) this.#signal.addEventListener('abort', this.#onAbort)
    this.#waits.add(end)
  }

  delete(end: (error: Error) => void): void {
    if (!this.#waits.delete(end) || this.#waits.size > 0) return
    this.#signal.removeEventListener('abort', this.#onAbort)
  }

  readonly #onAbort = (): void => {
    // Each wait deletes itself from the set.
    for (const end of [...this.#waits]) end(abortError(this.#signal))
  }
}

const watches = new WeakMap<AbortSignal, AbortWatch>()

/** Calls `end` with an AbortError when the signal is aborted. Returns a function that stops it. */
function watchAbort(signal: AbortSignal, end: (error: Error) => void): () => void {
  const watch = watches.get(signal) ?? new AbortWatch(signal)
  watches.set(signal, watch)
  watch.add(end)
  return () => watch.delete(end)
}

/**
 * Settles as `promise` does, or rejects when a limit is reached first.
 *
 * # Errors
 * ERR_FDWIRE_TIMEOUT; AbortError, even if the signal is already aborted.
 */
export function withLimits<T>(
  promise: Promise<T>,
  limits: WaitLimits,
  details: WaitDetails,
): Promise<T> {
  return new Promise((resolve, reject) => {
    if (limits.signal?.aborted) {
      // Otherwise its rejection would be unhandled.
      promise.catch(() => {})
      reject(abortError(limits.signal))
      return
    }
    const stop = startLimits(limits, details, reject)
    promise.then(resolve, reject).finally(stop)
  })
}

/** The deadline of an operation that consists of several waits. */
export class Deadline {
  /** The timeout of the whole operation (ms; 0: no limit). */
  readonly timeout: number
  readonly #end: number

  /** Starts `timeout` (ms; 0: no limit) now. */
  constructor(timeout: number) {
    this.timeout = timeout
    this.#end = timeout === 0 ? Number.POSITIVE_INFINITY : now() + timeout
  }

  /** Returns the deadline that ends first; `one` if both end at the same time. */
  static first(one: Deadline, other: Deadline): Deadline {
    return one.#end <= other.#end ? one : other
  }

  /** Whether the deadline has passed. */
  get isOver(): boolean {
    return this.#end <= now()
  }

  /** The timeout of the next wait: the time that is left (ms, an integer from 1; 0: no limit). */
  get remaining(): number {
    return this.timeout === 0 ? 0 : Math.max(1, Math.ceil(this.#end - now()))
  }
}
