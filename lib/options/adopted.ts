/** The option of a stream from which another part of the program has already read. */

import { asBytes, describeValue } from '../util/checks.js'
import { type OptionTable, STREAM } from './option.js'

/** The option of `adopt` alone. */
export interface AdoptedOptions {
  /** Bytes already read from the stream: the beginning of the channel's input. */
  head?: ArrayBufferView | undefined
}

export const ADOPTED = {
  head: { of: ['adopt'], types: STREAM, check: checkHead },
} as const satisfies OptionTable<AdoptedOptions>

function checkHead(name: string, value: unknown): Uint8Array {
  if (ArrayBuffer.isView(value)) return asBytes(value)
  throw new TypeError(
    `${name} must be a Buffer or another ArrayBufferView, not ${describeValue(value)}`,
  )
}
