/** Options of all functions and methods that wait. */

import { checkInteger, describeValue } from '../util/checks.js'
import { abortError } from '../util/errors.js'
import { integer, NAMED, type OptionTable } from './option.js'

/** Limits of an operation that waits. */
export interface WaitOptions {
  /** How long the call may take (ms, 0: no limit). */
  timeout?: number | undefined
  /** Aborts the call. */
  signal?: AbortSignal | undefined
}

export const WAIT = {
  timeout: { of: NAMED, default: 10_000, check: integer(0) },
  signal: { of: NAMED, check: (_, value): AbortSignal | undefined => checkSignal(value) },
} as const satisfies OptionTable<WaitOptions>

/** Checks a `timeout` option (ms, 0: no limit). Returns `fallback` for undefined. */
export function checkTimeout(timeout: unknown, fallback: number): number {
  return checkInteger('timeout', timeout, fallback, 0)
}

/** Checks a `signal` option: an AbortSignal of Node, of another realm or of a polyfill. */
export function checkSignal(signal: unknown): AbortSignal | undefined {
  if (signal === undefined || signal instanceof AbortSignal) return signal
  const { aborted, addEventListener, removeEventListener } = (signal ?? {}) as Partial<AbortSignal>
  const canListen =
    typeof addEventListener === 'function' && typeof removeEventListener === 'function'
  if (typeof aborted === 'boolean' && canListen) return signal as AbortSignal
  throw new TypeError(`signal must be an AbortSignal, not ${describeValue(signal)}`)
}

/**
 * Checks the `signal` option of an operation that begins now.
 *
 * # Errors
 * TypeError; AbortError if the signal is already aborted.
 */
export function checkActiveSignal(signal: unknown): AbortSignal | undefined {
  const checked = checkSignal(signal)
  if (checked?.aborted) throw abortError(checked)
  return checked
}
