/** The most characters of a wrong value that an error message shows. */
const MAX_SHOWN = 80

/** The largest value of a numeric option, unless its check sets a lower limit. */
export const MAX_U31 = 0x7fff_ffff

/**
 * Checks that a value is one of the allowed ones.
 *
 * # Errors
 * TypeError.
 */
export function checkOneOf<T>(name: string, value: unknown, allowed: readonly T[]): T {
  if (allowed.includes(value as T)) return value as T
  throw new TypeError(`${name} must be ${listOr(allowed.map(quote))}, not ${describeValue(value)}`)
}

/**
 * Checks an integer from `least` to `most`. Returns `fallback` for undefined.
 *
 * # Errors
 * TypeError, RangeError.
 */
export function checkInteger(
  name: string,
  value: unknown,
  fallback: number,
  least: number,
  most = MAX_U31,
): number {
  if (value === undefined) return fallback
  if (typeof value !== 'number') {
    throw new TypeError(`${name} must be a number, not ${describeValue(value)}`)
  }
  if (Number.isInteger(value) && value >= least && value <= most) return value
  throw new RangeError(`${name} must be an integer from ${least} to ${most}, not ${value}`)
}

/**
 * Checks a boolean. Returns `fallback` for undefined.
 *
 * # Errors
 * TypeError.
 */
export function checkBoolean(name: string, value: unknown, fallback = false): boolean {
  if (value === undefined || typeof value === 'boolean') return value ?? fallback
  throw new TypeError(`${name} must be true or false, not ${describeValue(value)}`)
}

/**
 * Checks an optional function. Returns undefined for undefined.
 *
 * # Errors
 * TypeError.
 */
// biome-ignore lint/suspicious/noExplicitAny: the caller states the parameters
export function checkFunction<F extends (...args: any[]) => unknown>(
  name: string,
  value: unknown,
): F | undefined {
  if (value === undefined || typeof value === 'function') return value as F | undefined
  throw new TypeError(`${name} must be a function, not ${describeValue(value)}`)
}

/**
 * Checks that the options of a call are an object.
 *
 * # Errors
 * TypeError.
 */
export function checkIsObject(call: string, options: unknown): asserts options is object {
  if (typeof options === 'object' && options !== null) return
  throw new TypeError(`${call} takes its options as an object, not ${describeValue(options)}`)
}

/**
 * Refuses an unknown option or property. An option whose value is undefined counts as absent.
 *
 * `hint` returns undefined for a name that `subject` has. For any other name it returns what to use
 * instead, which ends the error message.
 *
 * # Errors
 * TypeError: `send has no option timeout: it has fds, to and allowRelative`.
 */
export function checkNames(
  subject: string,
  options: object,
  hint: (name: string) => string | undefined,
  noun = 'option',
): void {
  for (const name in options) {
    if ((options as Record<string, unknown>)[name] === undefined) continue
    const instead = hint(name)
    if (instead === undefined) continue
    // A property that the program has added to Object.prototype is not an option.
    if (name in Object.prototype && !Object.hasOwn(options, name)) continue
    throw new TypeError(`${subject} has no ${noun} ${name}: ${instead}`)
  }
}

/** Returns a `hint` for `checkNames` that accepts only `names`. Create it once, not per call. */
export function only(names: readonly string[]): (name: string) => string | undefined {
  return name => (names.includes(name) ? undefined : `it has ${listAnd(names)}`)
}

/** Formats a constant for an error message: a string in single quotes, others as `String` does. */
export function quote(value: unknown): string {
  return typeof value === 'string' ? `'${value}'` : String(value)
}

/** Describes a wrong value for an error message. */
export function describeValue(value: unknown): string {
  if (typeof value === 'function') return 'a function'
  if (typeof value === 'bigint') return `${value}n`
  if (typeof value === 'string' && value.length > MAX_SHOWN) {
    return `${quote(value.slice(0, MAX_SHOWN))}… (${value.length} characters)`
  }
  if (typeof value !== 'object' || value === null) return quote(value)
  const name = value.constructor?.name
  return name === undefined || name === 'Object' ? 'an object' : `an instance of ${name}`
}

/** Joins names: `a`, `a and b`, `a, b and c`. */
export function listAnd(names: readonly string[]): string {
  return join(names, 'and')
}

/** Joins names: `a`, `a or b`, `a, b or c`. */
export function listOr(names: readonly string[]): string {
  return join(names, 'or')
}

/** Returns the bytes of a view, without a copy. */
export function asBytes(view: ArrayBufferView): Uint8Array {
  if (view instanceof Uint8Array) return view
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
}

function join(names: readonly string[], word: string): string {
  const last = names[names.length - 1] ?? ''
  return names.length < 2 ? last : `${names.slice(0, -1).join(', ')} ${word} ${last}`
}
