/** Options of the framing: the type of messages, and which of them are valid. */

import { checkFunction, checkOneOf } from '../util/checks.js'
import {
  ALL,
  boolean,
  integer,
  type OnlyOf,
  type OptionContext,
  type OptionTable,
} from './option.js'
import { type Encoding, type EncodingOf, type Protocol, rowOf } from './protocols.js'

/** Options of every function. */
export interface FramingOptions<P extends Protocol, E extends EncodingOf<P>> {
  /** The type of messages (default: the protocol's first encoding). */
  encoding?: E | undefined
  /**
   * uds_comms: whether to accept every message that the original implementation accepts (false).
   */
  lenient?: OnlyOf<'uds_comms', P, boolean>
  /** stockings: whether `send` sends empty messages (false). The original skips them. */
  allowEmpty?: OnlyOf<'stockings', P, boolean>
  /** lines: whether the bytes after the last delimiter are a message too (false). */
  finalLine?: OnlyOf<'lines', P, boolean>
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

type OnMalformed = (error: Error, before: number) => void

const MIB = 1024 * 1024

export const FRAMING = {
  encoding: {
    of: ALL,
    unless: ({ protocol }) =>
      rowOf(protocol).encodings.length === 0
        ? `each message of ${protocol} says whether it is text or bytes`
        : undefined,
    default: ({ protocol }: OptionContext): Encoding | undefined => rowOf(protocol).encodings[0],
    check: (_, value, { protocol }): Encoding =>
      checkOneOf(`encoding of ${protocol}`, value, rowOf(protocol).encodings),
  },
  lenient: { of: ALL, protocols: ['uds_comms'], default: false, check: boolean },
  allowEmpty: { of: ALL, protocols: ['stockings'], default: false, check: boolean },
  finalLine: { of: ALL, protocols: ['lines'], default: false, check: boolean },
  maxMessage: { of: ALL, default: 16 * MIB, check: integer(1) },
  onMalformed: { of: ['Codec'], check: checkFunction<OnMalformed> },
} as const satisfies OptionTable<FramingOptions<Protocol, Encoding> & DecoderOptions>
