/** The largest number that an option may be. */
export const MAX_U31 = 0x7fff_ffff

/** Checks that a value is one of those that are allowed. */
export function oneOf<T>(name: string, value: unknown, allowed: readonly T[]): T {
  if (allowed.includes(value as T)) return value as T
  throw new TypeError(`${name} must be ${either(allowed.map(quote))}, not ${show(value)}`)
}

/** Checks an integer; undefined is the fallback. */
export function integer(
  name: string,
  value: unknown,
  fallback: number,
  least: number,
  most = MAX_U31,
): number {
  if (value === undefined) return fallback
  if (typeof value !== 'number') {
    throw new TypeError(`${name} must be a number, not ${show(value)}`)
  }
  if (Number.isInteger(value) && value >= least && value <= most) return value
  throw new RangeError(`${name} must be an integer from ${least} to ${most}, not ${value}`)
}

/** Checks a boolean; undefined is the fallback. */
export function flag(name: string, value: unknown, fallback = false): boolean {
  if (value === undefined || typeof value === 'boolean') return value ?? fallback
  throw new TypeError(`${name} must be true or false, not ${show(value)}`)
}

/** Checks a function; undefined is absent. */
// biome-ignore lint/suspicious/noExplicitAny: the caller says what it is called with
export function callback<F extends (...args: any[]) => unknown>(
  name: string,
  value: unknown,
): F | undefined {
  if (value === undefined || typeof value === 'function') return value as F | undefined
  throw new TypeError(`${name} must be a function, not ${show(value)}`)
}

/** null is a value like any other, and none of the right ones: only undefined is absent. */
export function orElse(value: unknown, fallback: unknown): unknown {
  return value === undefined ? fallback : value
}

/** A word or another constant as programs write it. */
export function quote(value: unknown): string {
  return typeof value === 'string' ? `'${value}'` : String(value)
}

/** A wrong value as messages show it. */
export function show(value: unknown): string {
  if (typeof value === 'object' && value !== null) return 'an object'
  if (typeof value === 'function') return 'a function'
  return typeof value === 'bigint' ? `${value}n` : quote(value)
}

/** `a`, `a and b`, `a, b and c`. */
export function both(names: readonly string[]): string {
  return join(names, 'and')
}

/** `a`, `a or b`, `a, b or c`. */
export function either(names: readonly string[]): string {
  return join(names, 'or')
}

function join(names: readonly string[], word: string): string {
  const last = names[names.length - 1] ?? ''
  return names.length < 2 ? last : `${names.slice(0, -1).join(', ')} ${word} ${last}`
}

/** The bytes of any view. */
export function asBytes(view: ArrayBufferView): Uint8Array {
  if (view instanceof Uint8Array) return view
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
}
