import { abortError } from '../../util/errors.js'

/** How long to wait for what. */
export interface Wait {
  /** In all (ms, 0: no limit). */
  timeout: number
  signal: AbortSignal | undefined
}

/** What is left of a time limit (ms): at least 1, or 0 for none. */
export function stopwatch(timeout: number): () => number {
  const deadline = performance.now() + timeout
  return () => (timeout === 0 ? 0 : Math.max(1, Math.ceil(deadline - performance.now())))
}

/** What a promise comes to; `late` where that takes longer than the time limit, an AbortError. */
export function within<T>(promise: Promise<T>, { timeout, signal }: Wait, late: T): Promise<T> {
  return new Promise((resolve, reject) => {
    const settle = (outcome: () => void) => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
      outcome()
    }
    const onAbort = () => settle(() => reject(abortError(signal as AbortSignal)))
    const onLate = () => settle(() => resolve(late))
    const timer = timeout > 0 ? setTimeout(onLate, timeout) : undefined
    signal?.addEventListener('abort', onAbort, { once: true })
    promise.then(
      value => settle(() => resolve(value)),
      error => settle(() => reject(error)),
    )
  })
}
