/** The encodings: they convert between the values of a program and the payloads of frames. */

import type { CustomEncoding, Encoding } from '../../options/check.js'
import { describeValue } from '../../util/checks.js'
import { type FdwireError, illFormedError } from '../../util/errors.js'
import { NO_OPTIONS } from '../../util/no-options.js'
import { decodeCustom, encodeCustom, undecodable } from './custom.js'
import { encodeJson, notJson } from './json.js'
import { decodeBody, encodeMessage } from './socket_protocol.js'

/** A payload for native code to frame: text or bytes. */
export type Encoded = string | ArrayBufferView

/** One encoding, in both directions. */
export interface EncodingCodec {
  /**
   * Encodes a value.
   *
   * # Errors
   * A TypeError for a value of the wrong type; ERR_FDWIRE_UNENCODABLE, ERR_FDWIRE_ILL_FORMED_TEXT.
   */
  encode(value: unknown): Encoded
  /** Decodes a text payload; undefined if the value is the text itself. */
  readonly decodeText: ((text: string) => unknown) | undefined
  /**
   * Decodes a payload of bytes, from a view that is valid only during the call unless `isCustom`;
   * undefined if the value is a Buffer with a copy of the bytes.
   */
  readonly decodeBytes: ((bytes: Buffer) => unknown) | undefined
  /**
   * Whether it is code of the program: `decodeBytes` owns its bytes, and `encode` may use the memory
   * of its result again.
   */
  readonly isCustom: boolean
  /**
   * Returns the error of a malformed message, from the exception of `decodeText` or `decodeBytes`.
   */
  malformed(thrown: unknown, sample: Uint8Array | undefined): FdwireError
}

/** Makes a row of the table. All rows have one shape, which V8 reads faster. */
function codec(
  encode: EncodingCodec['encode'],
  {
    decodeText,
    decodeBytes,
    malformed = asThrown,
    isCustom = false,
  }: Partial<EncodingCodec> = NO_OPTIONS,
): EncodingCodec {
  return { encode, decodeText, decodeBytes, malformed, isCustom }
}

/** Bytes, or a text as UTF-8. Protocols whose messages say whether they are text use it too. */
const buffer = codec(encodeBytes)

const ENCODINGS: Readonly<Record<Encoding, EncodingCodec>> = {
  json: codec(encodeJson, { decodeText: JSON.parse, malformed: notJson }),
  text: codec(encodeText),
  buffer,
  pure_json: codec(value => encodeMessage('pure_json', value), {
    decodeBytes: bytes => decodeBody('pure_json', bytes),
  }),
  struct_json: codec(value => encodeMessage('struct_json', value), {
    decodeBytes: bytes => decodeBody('struct_json', bytes),
  }),
}

/** Returns the codec of an encoding. Undefined is the encoding of protocols that have no choice. */
export function encodingOf(encoding: Encoding | CustomEncoding | undefined): EncodingCodec {
  if (encoding === undefined) return buffer
  return typeof encoding === 'string' ? ENCODINGS[encoding] : customCodec(encoding)
}

function customCodec(encoding: CustomEncoding): EncodingCodec {
  const encode = (value: unknown) => {
    const encoded = encodeCustom(encoding, value)
    return typeof encoded === 'string' ? checkWellFormed(encoded) : encoded
  }
  const decodeBytes = (bytes: Buffer) => decodeCustom(encoding, bytes)
  return codec(encode, { decodeBytes, malformed: undecodable, isCustom: true })
}

/** Whether a payload has no bytes. */
export function isEmpty(encoded: Encoded): boolean {
  return typeof encoded === 'string' ? encoded.length === 0 : encoded.byteLength === 0
}

function encodeText(value: unknown): string {
  if (typeof value !== 'string') {
    throw new TypeError(
      `A message of encoding 'text' must be a string, not ${describeValue(value)}`,
    )
  }
  return checkWellFormed(value)
}

function checkWellFormed(text: string): string {
  if (text.isWellFormed()) return text
  throw illFormedError('The message', text)
}

function encodeBytes(value: unknown): Encoded {
  if (typeof value === 'string') return encodeText(value)
  if (ArrayBuffer.isView(value)) return value
  throw new TypeError(
    `A message of bytes must be a Buffer, another ArrayBufferView or a string, not ${describeValue(value)}`,
  )
}

/** The `malformed` of decoders that throw an FdwireError themselves. */
function asThrown(thrown: unknown): FdwireError {
  return thrown as FdwireError
}
