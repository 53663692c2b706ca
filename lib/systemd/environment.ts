/**
 * Returns the number in an environment variable; undefined if it is not set or empty.
 *
 * # Errors
 * RangeError for anything but a non-negative decimal integer.
 */
export function parseNumber(name: string): number | undefined {
  const text = process.env[name]
  if (!text) return undefined
  const number = Number(text)
  if (/^\d+$/.test(text) && Number.isSafeInteger(number)) return number
  throw new RangeError(`${name} must be a non-negative integer, not '${text}'`)
}
