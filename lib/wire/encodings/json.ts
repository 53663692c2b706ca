import { FdwireError } from '../../util/errors.js'
import { NODE_MAJOR } from '../../util/node.js'

/**
 * Encodes a value as JSON.
 *
 * # Errors
 * ERR_FDWIRE_UNENCODABLE for a value that JSON cannot represent, or whose `toJSON` or getter
 * throws.
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

/** Describes a value for which JSON.stringify returns undefined. */
function withoutText(value: unknown): string {
  const type = typeof value
  return type === 'object' ? 'text for an object whose toJSON returns undefined' : type
}

/** The target length of the text of an array (UTF-16 code units). */
const ARRAY_LENGTH = 16 * 1024

/**
 * The average length of values from which V8 encodes them faster one by one. Measured with Node 20
 * and 24: JSON.stringify of long strings was made faster in between.
 */
const LONG_VALUE = NODE_MAJOR < 22 ? 8_192 : 640

/** Encoded values: first the elements of arrays, then single texts. */
export interface JsonBatch {
  arrays: string[]
  texts: string[]
}

/**
 * Encodes values as the elements of JSON arrays, and long ones singly. Returns undefined if an
 * element's text would differ from that of the value alone, or if a value cannot be encoded.
 *
 * V8 encodes an array faster than its elements one by one, unless these are long.
 */
export function encodeJsonBatch(values: unknown[]): JsonBatch | undefined {
  if ('toJSON' in values || !values.every(isSameAsElement)) return undefined
  const arrays: string[] = []
  const texts: string[] = []
  if (values.length === 0) return { arrays, texts }
  try {
    // The first value tells whether the others are likely to be long.
    const head = encodeJson(values[0])
    if (head.length < LONG_VALUE) arrays.push(`[${head}]`)
    else texts.push(head)
    let average = head.length
    let first = 1
    while (first < values.length && average < LONG_VALUE) {
      const part = values.slice(first, first + Math.ceil(ARRAY_LENGTH / average))
      const text = JSON.stringify(part)
      arrays.push(text)
      first += part.length
      average = text.length / part.length
    }
    for (; first < values.length; first++) texts.push(encodeJson(values[first]))
    return { arrays, texts }
  } catch {
    // The caller then encodes the values one by one, and finds the one that throws.
    return undefined
  }
}

/** Whether a value's JSON is the same alone and as an element of an array. */
function isSameAsElement(value: unknown): boolean {
  const type = typeof value
  if (type === 'undefined' || type === 'function' || type === 'symbol') return false
  return value === null || typeof (value as { toJSON?: unknown }).toJSON !== 'function'
}

/** Returns the error of a message whose text is not JSON. */
export function notJson(cause: unknown, sample: Uint8Array | undefined): FdwireError {
  const message = `The message is not JSON: ${(cause as Error).message}`
  const options = sample === undefined ? { cause } : { cause, sample }
  return new FdwireError('ERR_FDWIRE_NOT_JSON', message, options)
}

function unencodable(why: string, cause?: unknown): FdwireError {
  const options = cause === undefined ? {} : { cause }
  return new FdwireError('ERR_FDWIRE_UNENCODABLE', `JSON cannot carry the value: ${why}`, options)
}
