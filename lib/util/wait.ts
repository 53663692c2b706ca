import { abortError, timeoutError } from './errors.js'
import { clearTimeout, setTimeout } from './timers.js'

/** How long an operation may take, and the signal that aborts it. */
export interface WaitLimits {
  /** Milliseconds; 0: no limit. */
  timeout: number
  signal?: AbortSignal | undefined
}

/** How a wait reports its timeout, and whether its timer keeps the process alive. */
export interface WaitDetails {
  /** What did not happen, as `'No message arrived'`, or the error itself. */
  late: string | (() => Error)
  /**
   * Whether the timer keeps the process alive (false). Leave it false where a channel or listener
   * does: it keeps the process alive unless it is unref'd, and its timer must not.
   */
  keepsAlive?: boolean
}

/**
 * Calls `giveUp` once, when the timeout expires or the signal is aborted, whichever comes first.
 *
 * Returns a function that stops both. Call it when the operation is done.
 *
 * `giveUp` gets ERR_FDWIRE_TIMEOUT or an AbortError. A signal that is already aborted is the
 * caller's to check.
 */
export function startLimits(
  { timeout, signal }: WaitLimits,
  { late, keepsAlive = false }: WaitDetails,
  giveUp: (error: Error) => void,
): () => void {
  const end = (error: Error) => {
    stop()
    giveUp(error)
  }
  const onAbort = () => end(abortError(signal as AbortSignal))
  const onTimeout = () => end(typeof late === 'string' ? timeoutError(late, timeout) : late())
  const timer = timeout > 0 ? setTimeout(onTimeout, timeout) : undefined
  if (!keepsAlive) timer?.unref()
  signal?.addEventListener('abort', onAbort, { once: true })
  const stop = () => {
    clearTimeout(timer)
    signal?.removeEventListener('abort', onAbort)
  }
  return stop
}

/**
 * Settles as `promise` does, or rejects when a limit is reached first.
 *
 * # Errors
 * ERR_FDWIRE_TIMEOUT; AbortError, also where the signal is aborted already.
 */
export function withLimits<T>(
  promise: Promise<T>,
  limits: WaitLimits,
  details: WaitDetails,
): Promise<T> {
  return new Promise((resolve, reject) => {
    if (limits.signal?.aborted) {
      // Nobody else looks at how it ends.
      promise.catch(() => {})
      reject(abortError(limits.signal))
      return
    }
    const stop = startLimits(limits, details, reject)
    promise.then(resolve, reject).finally(stop)
  })
}
