/** Encodings of the program: objects with methods `encode` and `decode`. */

import { isPromise } from 'node:util/types'
import type { CustomEncoding } from '../../options/check.js'
import { describeValue } from '../../util/checks.js'
import { FdwireError } from '../../util/errors.js'

/**
 * Encodes a value.
 *
 * # Errors
 * ERR_FDWIRE_UNENCODABLE if `encode` throws; TypeError if it returns anything else than text or bytes.
 */
export function encodeCustom(encoding: CustomEncoding, value: unknown): string | ArrayBufferView {
  let encoded: unknown
  try {
    encoded = encoding.encode(value)
  } catch (cause) {
    const message = `The encoding cannot encode the value: ${messageOf(cause)}`
    throw new FdwireError('ERR_FDWIRE_UNENCODABLE', message, { cause })
  }
  if (typeof encoded === 'string' || ArrayBuffer.isView(encoded)) return encoded
  refusePromise('encode', encoded)
  throw new TypeError(
    `encode of the option encoding must return a string or a Uint8Array, not ${describeValue(encoded)}`,
  )
}

/**
 * Decodes bytes, which belong to the value from then on.
 *
 * # Errors
 * What `decode` throws; TypeError if it returns a promise.
 */
export function decodeCustom(encoding: CustomEncoding, bytes: Buffer): unknown {
  const value: unknown = encoding.decode(bytes)
  refusePromise('decode', value)
  return value
}

/** Returns the error of a message whose `decode` has thrown. */
export function undecodable(cause: unknown, sample: Uint8Array | undefined): FdwireError {
  const message = `The encoding cannot decode the message: ${messageOf(cause)}`
  const options = sample === undefined ? { cause } : { cause, sample }
  return new FdwireError('ERR_FDWIRE_UNDECODABLE', message, options)
}

/** Throws for a promise. A rejection of it then ends nothing: the error says what is wrong. */
function refusePromise(method: string, result: unknown): void {
  const isThenable = typeof (result as { then?: unknown } | null | undefined)?.then === 'function'
  if (!isThenable) return
  if (isPromise(result)) result.catch(() => {})
  throw new TypeError(`${method} of the option encoding must not return a promise`)
}

function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : `it threw ${describeValue(thrown)}`
}
