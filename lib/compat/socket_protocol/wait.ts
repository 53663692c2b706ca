import { errorCode } from '../../util/errors.js'
import { startLimits, type WaitLimits } from '../../util/wait.js'

/** The message of a timeout error that is never thrown, since a timeout is a result here. */
const LATE = 'The operation did not complete'

/**
 * Calls `onTimeout` or `onAbort` once, whichever limit is reached first. Returns a function that
 * stops both.
 *
 * As in the original, a timeout is a result and not an error. `keepsAlive`: whether the timer keeps
 * the process alive (false).
 */
export function startWait(
  limits: WaitLimits,
  onTimeout: () => void,
  onAbort: (error: Error) => void,
  keepsAlive = false,
): () => void {
  return startLimits(limits, { late: LATE, keepsAlive }, error => {
    if (errorCode(error) === 'ERR_FDWIRE_TIMEOUT') onTimeout()
    else onAbort(error)
  })
}

/**
 * Settles as `promise` does, or resolves to `late` if the timeout expires first.
 *
 * # Errors
 * AbortError.
 */
export function within<T, L>(
  promise: Promise<T>,
  limits: WaitLimits,
  late: L,
  keepsAlive = false,
): Promise<T | L> {
  return new Promise((resolve, reject) => {
    const stop = startWait(limits, () => resolve(late), reject, keepsAlive)
    promise.then(resolve, reject).finally(stop)
  })
}
