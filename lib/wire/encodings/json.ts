import { FdwireError } from '../../util/errors.js'

/**
 * The JSON text of a value.
 *
 * # Errors
 * ERR_FDWIRE_UNENCODABLE for a value without one, or whose own code throws.
 */
export function encodeJson(value: unknown): string {
  let text: string | undefined
  try {
    text = JSON.stringify(value)
  } catch (cause) {
    throw unencodable((cause as Error).message, cause)
  }
  if (text === undefined) throw unencodable(`JSON has no ${withoutText(value)}`)
  return text
}

/** What a value is for which JSON.stringify returns undefined. */
function withoutText(value: unknown): string {
  const type = typeof value
  return type === 'object' ? 'text for an object whose toJSON returns undefined' : type
}

/** Values that are encoded at once before their average size is known. */
const FIRST_VALUES = 32

/** The length of one array's text that is aimed at (UTF-16 units). */
const ARRAY_LENGTH = 16 * 1024

/**
 * Encodes values as the elements of JSON arrays; undefined where an element's text would differ from
 * that of the value alone.
 *
 * V8 encodes one array faster than its elements one by one, unless the text is long.
 */
export function encodeJsonArrays(values: unknown[]): string[] | undefined {
  if ('toJSON' in values || !values.every(isSameAsElement)) return undefined
  const texts: string[] = []
  try {
    for (let first = 0, count = FIRST_VALUES; first < values.length; ) {
      const text = JSON.stringify(values.slice(first, first + count))
      texts.push(text)
      first += count
      count = Math.max(1, Math.floor((count * ARRAY_LENGTH) / text.length))
    }
  } catch {
    // The caller encodes the values one by one then, which tells which of them throws.
    return undefined
  }
  return texts
}

/** Whether a value's JSON is the same as an element of an array. */
function isSameAsElement(value: unknown): boolean {
  const type = typeof value
  if (type === 'undefined' || type === 'function' || type === 'symbol') return false
  return value === null || typeof (value as { toJSON?: unknown }).toJSON !== 'function'
}

/** The error of a message whose text is not JSON. */
export function notJson(cause: unknown, sample: Uint8Array | undefined): FdwireError {
  const message = `The message is not JSON: ${(cause as Error).message}`
  const options = sample === undefined ? { cause } : { cause, sample }
  return new FdwireError('ERR_FDWIRE_NOT_JSON', message, options)
}

function unencodable(why: string, cause?: unknown): FdwireError {
  const options = cause === undefined ? {} : { cause }
  return new FdwireError('ERR_FDWIRE_UNENCODABLE', `JSON cannot carry the value: ${why}`, options)
}
