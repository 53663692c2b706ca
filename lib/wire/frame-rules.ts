/** Which messages the framing of a channel cannot carry, as far as that is known without native code. */

import type { CheckedOptions } from '../options/check.js'
import { includesBytes, includesText, lengthOf } from '../util/buffers.js'

/** Decides about single messages: texts, or arrays of bytes. */
export interface FrameRule {
  /** Returns false only if the framing can carry the message. Otherwise native code decides. */
  mayRefuse(message: string | Uint8Array): boolean
}

/** Returns the rule of a framing; undefined if it can carry every message. */
export function frameRuleOf(options: CheckedOptions): FrameRule | undefined {
  if (options.protocol === 'lines') return delimiterRule(options)
  return options.protocol === 'length_prefixed' ? lengthRule(options) : undefined
}

function delimiterRule({ delimiter, json }: CheckedOptions): FrameRule | undefined {
  const bytes = Buffer.from(delimiter as string)
  // A JSON text has no control characters. An earlier delimiter would begin in the text, and if it
  // overlaps with the one at the end, it repeats what is in the text.
  if (json && bytes.some(byte => byte < 0x20)) return undefined
  const isAscii = bytes.every(byte => byte < 0x80)
  return isAscii && !overlapsItself(bytes) ? new DelimiterRule(bytes) : ASK_NATIVE
}

/** Whether a delimiter ends with its own beginning, so that a message may complete one: `aa`. */
function overlapsItself(bytes: Buffer): boolean {
  return bytes.some((_, at) => at > 0 && bytes.subarray(at).equals(bytes.subarray(0, -at)))
}

/** The size from which no message exists that a length of four bytes cannot express. */
const LARGEST = 2 ** 31

function lengthRule({ lengthBytes, lengthAdjustment }: CheckedOptions): FrameRule | undefined {
  const least = lengthAdjustment
  const most = 2 ** (8 * lengthBytes) - 1 + lengthAdjustment
  return least <= 0 && most >= LARGEST ? undefined : new LengthRule(least, most)
}

/** For a delimiter of ASCII that does not overlap with itself: no message may contain it. */
class DelimiterRule implements FrameRule {
  readonly #text: string
  readonly #bytes: Buffer | number

  constructor(bytes: Buffer) {
    this.#text = bytes.toString('latin1')
    this.#bytes = bytes.length === 1 ? (bytes[0] as number) : bytes
  }

  mayRefuse(message: string | Uint8Array): boolean {
    return typeof message === 'string'
      ? includesText(message, this.#text)
      : includesBytes(message, this.#bytes)
  }
}

/** For a length that cannot express every size of a message (bytes). */
class LengthRule implements FrameRule {
  readonly #least: number
  readonly #most: number

  constructor(least: number, most: number) {
    this.#least = least
    this.#most = most
  }

  mayRefuse(message: string | Uint8Array): boolean {
    const isText = typeof message === 'string'
    const least = isText ? message.length : lengthOf(message)
    // A UTF-16 code unit becomes at most three bytes of UTF-8.
    const most = isText ? 3 * least : least
    return least < this.#least || most > this.#most
  }
}

/** For framings that are not checked in JavaScript. */
const ASK_NATIVE: FrameRule = { mayRefuse: () => true }
