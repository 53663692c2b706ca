import type { CheckedOptions } from '../options/check.js'
import { abortError, errorCode, type SystemError, timeoutError } from '../util/errors.js'
import { Deadline, startLimits } from '../util/wait.js'

/** The lengths of the first and the longest pause between two attempts (ms). */
const FIRST = 2
const LONGEST = 50

/**
 * Calls `attempt` until it does not throw EAGAIN, and returns its result.
 *
 * EAGAIN means that another process holds the lock on a path's directory, or that the backlog of a
 * listener is full. `late` returns the beginning of the timeout error's message for the last
 * EAGAIN.
 *
 * # Errors
 * ERR_FDWIRE_TIMEOUT; AbortError; every other error that `attempt` throws.
 */
export async function retry<T>(
  { signal, timeout }: Pick<CheckedOptions, 'signal' | 'timeout'>,
  late: (error: SystemError) => string,
  attempt: () => T,
): Promise<T> {
  const deadline = new Deadline(timeout)
  for (let pause = FIRST; ; pause = Math.min(pause * 2, LONGEST)) {
    if (signal?.aborted) throw abortError(signal)
    try {
      return attempt()
    } catch (error) {
      if (errorCode(error) !== 'EAGAIN') throw error
      if (deadline.isOver) throw timeoutError(late(error as SystemError), timeout)
    }
    // Jitter avoids a thundering herd.
    const time = Math.max(1, pause * (0.5 + Math.random()))
    await sleep(Math.min(time, deadline.remaining || time), signal)
  }
}

/** Waits for `time` (ms), or until the signal is aborted. */
function sleep(time: number, signal: AbortSignal | undefined): Promise<void> {
  const details = { late: () => new Error('The pause is over'), keepsAlive: true }
  return new Promise(resolve => {
    startLimits({ timeout: time, signal }, details, () => resolve())
  })
}
