import { constants } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Outcome } from '#native'
import type { CheckedOptions } from '../options/check.js'
import { abortError, timeoutError } from '../util/errors.js'

/** The pauses between attempts: the first and the longest (ms). */
const FIRST = 2
const LONGEST = 50

/**
 * Tries again and again while somebody stands in the way, who will go: others who hold the lock on a
 * path's directory, or a listener whose backlog is full.
 *
 * # Errors
 * ERR_FDWIRE_TIMEOUT, which begins with `what`; AbortError.
 */
export async function retry(
  { signal, timeout }: CheckedOptions,
  what: string,
  attempt: () => Outcome,
): Promise<Outcome> {
  const deadline = timeout === 0 ? Number.POSITIVE_INFINITY : performance.now() + timeout
  for (let pause = FIRST; ; pause = Math.min(pause * 2, LONGEST)) {
    if (signal?.aborted) throw abortError(signal)
    const outcome = attempt()
    const { channel, errno } = outcome
    const full = errno === constants.errno.EAGAIN
    if (channel >= 0 || (errno !== 0 && !full)) return outcome
    const left = deadline - performance.now()
    if (left <= 0) throw timeoutError(what, timeout)
    // Not all who wait shall wake at once.
    await pauseFor(Math.min(pause * (0.5 + Math.random()), left), signal)
  }
}

/** Waits for some time (ms), or until the signal is aborted: the caller looks at it anyway. */
async function pauseFor(time: number, signal: AbortSignal | undefined): Promise<void> {
  await sleep(time, undefined, signal === undefined ? {} : { signal }).catch(() => {})
}
