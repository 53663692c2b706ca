import { HAS_DELIMITER } from '#native'
/** What a value becomes before native code frames it: a text or bytes. */

import type { Encoding } from '../options/check.js'
import { describeValue } from '../util/checks.js'
import { FdwireError } from '../util/errors.js'
import { encodeMessage, formOf } from './encodings/socket_protocol.js'

export type Encode = (value: unknown) => string | ArrayBufferView

/** What makes of a value what native code frames. */
export function encoderOf(encoding: Encoding | undefined): Encode {
  if (encoding === 'json') return encodeJson
  const form = formOf(encoding)
  if (form !== undefined) return value => encodeMessage(form, value)
  return encoding === 'text' ? encodeText : encodeBytes
}

function encodeJson(value: unknown): string {
  let text: string | undefined
  try {
    text = JSON.stringify(value)
  } catch (cause) {
    throw unencodable((cause as Error).message, cause)
  }
  if (text === undefined) throw unencodable(`JSON has no ${typeof value}`)
  return text
}

function encodeText(value: unknown): string {
  if (typeof value !== 'string') {
    throw new TypeError(`A message of encoding text is a string, not ${describeValue(value)}`)
  }
  if (value.isWellFormed()) return value
  throw new FdwireError('ERR_FDWIRE_ILL_FORMED_TEXT', 'The text has a lone surrogate')
}

function encodeBytes(value: unknown): string | ArrayBufferView {
  if (typeof value === 'string') return encodeText(value)
  if (ArrayBuffer.isView(value)) return value
  throw new TypeError('A message of bytes is a Buffer, another ArrayBufferView or a string')
}

export function isEmpty(encoded: string | ArrayBufferView): boolean {
  return typeof encoded === 'string' ? encoded.length === 0 : encoded.byteLength === 0
}

/** Values whose length is not known yet, and units of a text, that are encoded at once. */
const FIRST = 32
const TEXT = 16 * 1024

/**
 * All values as the elements of JSON arrays; undefined where that isn't what each alone gives.
 *
 * V8 makes one text of many values faster than many texts, as long as it is not a large one.
 */
export function encodeArrays(list: unknown[]): string[] | undefined {
  if ('toJSON' in list || !list.every(isPlain)) return undefined
  const texts: string[] = []
  try {
    for (let first = 0, count = FIRST; first < list.length; ) {
      const text = JSON.stringify(list.slice(first, first + count))
      texts.push(text)
      first += count
      count = Math.max(1, Math.floor((count * TEXT) / text.length))
    }
  } catch {
    // Which one it is comes out where each is encoded alone.
    return undefined
  }
  return texts
}

/** Encodes value `index` of a batch; an error says which it was. */
export function at<T>(index: number, encode: () => T): T {
  try {
    return encode()
  } catch (error) {
    throw Object.assign(error as Error, { index })
  }
}

/** Whether a value gives the same text as an element of an array. */
function isPlain(value: unknown): boolean {
  const type = typeof value
  if (type === 'undefined' || type === 'function' || type === 'symbol') return false
  return value === null || typeof (value as { toJSON?: unknown }).toJSON !== 'function'
}

function unencodable(why: string, cause?: unknown): FdwireError {
  return new FdwireError('ERR_FDWIRE_UNENCODABLE', `JSON can't carry this value: ${why}`, {
    ...(cause === undefined ? {} : { cause }),
  })
}

/** The error of a message that a protocol can't carry, by what native code says. */
export function unframeable(result: number, protocol: string): FdwireError {
  const why = result === HAS_DELIMITER ? 'it holds the delimiter' : 'its length has no header'
  const message = `${protocol} can't carry the message: ${why}`
  return new FdwireError('ERR_FDWIRE_UNENCODABLE', message)
}
