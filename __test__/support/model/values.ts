/** The messages of the model test: each contains its number, from which its contents follow. */
import { expect } from 'vitest'

/** How the values of an encoding are made. */
export type Encoding = 'buffer' | 'text' | 'json'

/** The length of a message's number in a value (digits). */
const DIGITS = 6

/** Characters of one to four bytes in UTF-8. */
const LETTERS = ['a', 'é', '水', '😀']

/** Returns message `number` of a size: bytes, or letters. */
export function makeValue(encoding: Encoding, number: number, size: number): unknown {
  const head = String(number).padStart(DIGITS, '0')
  if (encoding === 'buffer') return Buffer.concat([Buffer.from(head), filled(number, size)])
  const text = head + (LETTERS[number % LETTERS.length] as string).repeat(size)
  return encoding === 'text' ? text : { text, list: [number, null, { nested: size }] }
}

/** Returns the number of a value that was received. */
export function numberOf(encoding: Encoding, value: unknown): number {
  const text = encoding === 'json' ? (value as { text: string }).text : value
  return Number(
    Buffer.isBuffer(text) ? text.toString('latin1', 0, DIGITS) : String(text).slice(0, DIGITS),
  )
}

/** Asserts that a received value equals the one that was sent; fast for large Buffers. */
export function expectEqual(got: unknown, sent: unknown): void {
  if (Buffer.isBuffer(sent) && Buffer.isBuffer(got) && sent.equals(got)) return
  expect(got).toEqual(sent)
}

/** Bytes that frames use as delimiters, escapes or lengths, among others. */
function filled(number: number, size: number): Buffer {
  const bytes = Buffer.alloc(size, number)
  for (let at = 0; at < size; at += 13) bytes[at] = at
  return bytes
}
