/** Options of the framing: the type of messages, and which of them are valid. */

import { asBytes, checkFunction, checkOneOf, describeValue, listOr, quote } from '../util/checks.js'
import { illFormedError } from '../util/errors.js'
import {
  ALL,
  boolean,
  integer,
  type OnlyOf,
  type OptionContext,
  type OptionTable,
} from './option.js'
import {
  type CustomEncoding,
  type CustomEncodingOf,
  type Encoding,
  type EncodingOf,
  type Protocol,
  rowOf,
} from './protocols.js'

/** Options of every function. */
export interface FramingOptions<P extends Protocol, E extends EncodingOf<P>> {
  /**
   * The type of messages (default: the protocol's first encoding): a name, or an object that encodes
   * and decodes them.
   */
  encoding?: E | CustomEncodingOf<P> | undefined
  /**
   * uds_comms: whether to accept every message that the original implementation accepts (false).
   */
  lenient?: OnlyOf<'uds_comms', P, boolean>
  /** stockings: whether `send` sends empty messages (false). The original skips them. */
  allowEmpty?: OnlyOf<'stockings', P, boolean>
  /** lines: whether the bytes after the last delimiter are a message too (false). */
  finalLine?: OnlyOf<'lines', P, boolean>
  /** lines: what ends each message (`'\n'`). A string is encoded as UTF-8. */
  delimiter?: OnlyOf<'lines', P, string | ArrayBufferView>
  /** length_prefixed: the size of the number that precedes each message (bytes, 4). */
  lengthBytes?: OnlyOf<'length_prefixed', P, LengthBytes>
  /** length_prefixed: whether that number begins with its lowest byte (false). */
  littleEndian?: OnlyOf<'length_prefixed', P, boolean>
  /**
   * length_prefixed: what is added to the received number to get the size of the message (bytes, 0).
   */
  lengthAdjustment?: OnlyOf<'length_prefixed', P, number>
  /** The size of the largest message to receive (bytes, 16 MiB). */
  maxMessage?: number | undefined
}

/** Options of a codec alone. */
export interface DecoderOptions {
  /**
   * Called for each malformed message, with its error and the number of messages that precede it in
   * the same chunk. Decoding continues after it.
   */
  onMalformed?: OnMalformed | undefined
}

type LengthBytes = (typeof LENGTH_BYTES)[number]

type OnMalformed = (error: Error, before: number) => void

const MIB = 1024 * 1024
const LENGTH_BYTES = [1, 2, 3, 4, 8] as const
const MAX_DELIMITER = 16

export const FRAMING = {
  encoding: {
    of: ALL,
    unless: ({ protocol }) =>
      rowOf(protocol).encodings.length === 0
        ? `each message of ${protocol} says whether it is text or bytes`
        : undefined,
    default: ({ protocol }: OptionContext): Encoding | undefined => rowOf(protocol).encodings[0],
    check: checkEncoding,
  },
  lenient: { of: ALL, protocols: ['uds_comms'], default: false, check: boolean },
  allowEmpty: { of: ALL, protocols: ['stockings'], default: false, check: boolean },
  finalLine: { of: ALL, protocols: ['lines'], default: false, check: boolean },
  delimiter: { of: ALL, protocols: ['lines'], default: '\n', check: checkDelimiter },
  lengthBytes: { of: ALL, protocols: ['length_prefixed'], default: 4, check: checkLengthBytes },
  littleEndian: { of: ALL, protocols: ['length_prefixed'], default: false, check: boolean },
  lengthAdjustment: {
    of: ALL,
    protocols: ['length_prefixed'],
    default: 0,
    check: integer(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER),
  },
  maxMessage: { of: ALL, default: 16 * MIB, check: integer(1) },
  onMalformed: { of: ['Codec'], check: checkFunction<OnMalformed> },
} as const satisfies OptionTable<FramingOptions<Protocol, Encoding> & DecoderOptions>

/** Checks the name of an encoding, or an object that encodes and decodes. */
function checkEncoding(
  _: string,
  value: unknown,
  { protocol, type }: OptionContext,
): Encoding | CustomEncoding {
  const { encodings } = rowOf(protocol)
  const what = `encoding of ${protocol}`
  const isObject = (typeof value === 'object' && value !== null) || typeof value === 'function'
  if (!isObject || !encodings.includes('buffer')) return checkOneOf(what, value, encodings)
  if (protocol === 'raw' && type === 'stream') {
    throw new TypeError(
      `${what} must be 'buffer' on a stream, whose chunks are no messages: use a protocol with frames`,
    )
  }
  const { encode, decode } = value as Partial<CustomEncoding>
  if (typeof encode === 'function' && typeof decode === 'function') return value as CustomEncoding
  const names = encodings.map(quote).join(', ')
  throw new TypeError(
    `${what} must be ${names} or an object with methods encode and decode, not ${describeValue(value)}`,
  )
}

/** Checks a delimiter. Returns a copy of bytes, which the caller may change afterwards. */
function checkDelimiter(name: string, value: unknown): string | Buffer {
  if (typeof value !== 'string' && !ArrayBuffer.isView(value)) {
    throw new TypeError(
      `${name} must be a string, a Buffer or another ArrayBufferView, not ${describeValue(value)}`,
    )
  }
  if (typeof value === 'string' && !value.isWellFormed()) throw illFormedError(name, value)
  const length = typeof value === 'string' ? Buffer.byteLength(value) : value.byteLength
  if (length < 1 || length > MAX_DELIMITER) {
    throw new RangeError(`${name} must have 1 to ${MAX_DELIMITER} bytes, not ${length}`)
  }
  return typeof value === 'string' ? value : Buffer.from(asBytes(value))
}

function checkLengthBytes(name: string, value: unknown): LengthBytes {
  if (typeof value !== 'number') {
    throw new TypeError(`${name} must be a number, not ${describeValue(value)}`)
  }
  if (LENGTH_BYTES.includes(value as LengthBytes)) return value as LengthBytes
  throw new RangeError(`${name} must be ${listOr(LENGTH_BYTES.map(String))}, not ${value}`)
}
