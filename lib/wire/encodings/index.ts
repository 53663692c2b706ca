/** The encodings: what a message is to the program, and what native code frames. */

import type { Encoding } from '../../options/check.js'
import { describeValue } from '../../util/checks.js'
import { FdwireError } from '../../util/errors.js'
import { encodeJson, notJson } from './json.js'
import { decodeBody, encodeMessage } from './socket_protocol.js'

/** What native code frames: a text, or bytes. */
export type Encoded = string | ArrayBufferView

/** One encoding, both ways. */
export interface EncodingCodec {
  /**
   * Encodes a value.
   *
   * # Errors
   * A TypeError for a value of the wrong type; ERR_FDWIRE_UNENCODABLE, ERR_FDWIRE_ILL_FORMED_TEXT.
   */
  encode(value: unknown): Encoded
  /** Decodes a payload that is text; undefined: the value is the text. */
  readonly decodeText: ((text: string) => unknown) | undefined
  /**
   * Decodes a payload that is bytes, from a view that is valid during the call; undefined: the value
   * is a Buffer with a copy of them.
   */
  readonly decodeBytes: ((bytes: Uint8Array) => unknown) | undefined
  /** Makes the error of a malformed message from what `decode…` threw. */
  malformed(thrown: unknown, sample: Uint8Array | undefined): FdwireError
}

/** Makes the rows of the table, all of one shape, so that reading them is fast. */
function codec(
  encode: EncodingCodec['encode'],
  { decodeText, decodeBytes, malformed = asThrown }: Partial<EncodingCodec> = {},
): EncodingCodec {
  return { encode, decodeText, decodeBytes, malformed }
}

/** Bytes, or a text as UTF-8. Also for protocols whose messages say whether they are text. */
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

/** The codec of an encoding; undefined: each message of the protocol says whether it is text. */
export function encodingOf(encoding: Encoding | undefined): EncodingCodec {
  return encoding === undefined ? buffer : ENCODINGS[encoding]
}

/** Whether an encoded value has no bytes. */
export function isEmpty(encoded: Encoded): boolean {
  return typeof encoded === 'string' ? encoded.length === 0 : encoded.byteLength === 0
}

function encodeText(value: unknown): string {
  if (typeof value !== 'string') {
    throw new TypeError(
      `A message of encoding 'text' must be a string, not ${describeValue(value)}`,
    )
  }
  if (value.isWellFormed()) return value
  throw new FdwireError('ERR_FDWIRE_ILL_FORMED_TEXT', 'The text has a lone surrogate')
}

function encodeBytes(value: unknown): Encoded {
  if (typeof value === 'string') return encodeText(value)
  if (ArrayBuffer.isView(value)) return value
  throw new TypeError(
    `A message of bytes must be a Buffer, another ArrayBufferView or a string, not ${describeValue(value)}`,
  )
}

/** For decoders that throw the right error themselves. */
function asThrown(thrown: unknown): FdwireError {
  return thrown as FdwireError
}
