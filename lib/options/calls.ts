/** Checks of the options of calls: those of a channel and those of the compatibility modules. */

import { checkIsObject, checkNames, describeValue, only } from '../util/checks.js'
import type { Protocol } from './protocols.js'
import { checkActiveSignal, checkTimeout, type WaitOptions } from './wait.js'

/**
 * Checks that the options of a call are an object without options other than `names`.
 *
 * # Errors
 * TypeError.
 */
export function checkCallOptions(call: string, options: object, names: readonly string[]): void {
  checkIsObject(call, options)
  checkNames(call, options, only(names))
}

/**
 * Checks the options of a call that waits: `timeout` (ms, 0: no limit; `fallback` if absent) and
 * `signal`. `more` lists further options, whose values the caller checks.
 *
 * # Errors
 * TypeError, RangeError; AbortError if the signal is already aborted.
 */
export function checkWait(
  call: string,
  options: WaitOptions,
  fallback = 0,
  more: readonly string[] = [],
): { timeout: number; signal: AbortSignal | undefined } {
  checkCallOptions(call, options, ['timeout', 'signal', ...more])
  const signal = checkActiveSignal(options.signal)
  return { timeout: checkTimeout(options.timeout, fallback), signal }
}

/**
 * Refuses options that `call` sets itself. `fixed` maps each of them to the reason.
 *
 * # Errors
 * TypeError.
 */
export function checkFixedOptions(
  call: string,
  options: object,
  fixed: Readonly<Record<string, string>>,
): void {
  checkIsObject(call, options)
  checkNames(call, options, name => (Object.hasOwn(fixed, name) ? fixed[name] : undefined))
}

/**
 * Checks that `channel` is a channel of `protocol`.
 *
 * # Errors
 * TypeError.
 */
export function checkChannel(call: string, channel: unknown, protocol: Protocol): void {
  const actual = (channel as { protocol?: unknown } | null | undefined)?.protocol
  if (actual === protocol) return
  const what = typeof actual === 'string' ? `one of ${actual}` : describeValue(channel)
  throw new TypeError(`${call} takes a channel of ${protocol}, not ${what}`)
}
