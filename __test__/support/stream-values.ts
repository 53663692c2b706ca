/** Values of many sizes for the tests of streams, by protocol and encoding. */
import { expect } from 'vitest'
import { patternBytes } from './streams.js'

const MIB = 1024 * 1024
const SIZES = [0, 1, 127, 128, 4_095, 32_767, 32_768, 65_535, 65_536, 131_072, 262_144, 5 * MIB]

const TEXTS = [
  '',
  'a',
  'naïve – 水 😀',
  'é'.repeat(40_000),
  '水'.repeat(70_000),
  ...SIZES.slice(1).map(n => 'x'.repeat(n)),
]
const JSONS = [
  null,
  0,
  '',
  false,
  [],
  { a: [1, { b: 'naïve\n\u0000😀\ud800' }] },
  ...TEXTS.map(text => ({ text })),
]
export const BYTES = SIZES.map(patternBytes)

const VALUES: Record<string, unknown[]> = {
  text: TEXTS,
  json: JSONS,
  buffer: BYTES,
  own: TEXTS.flatMap((text, i) => [text, BYTES[i % BYTES.length]]),
}

/** Every protocol that frames a stream with each of its encodings, and a label of both. */
export const KINDS = [
  ['uds_comms with text', 'uds_comms', 'text'],
  ['uds_comms with json', 'uds_comms', 'json'],
  ['stockings', 'stockings', undefined],
  ['msg_channel with buffer', 'msg_channel', 'buffer'],
  ['msg_channel with text', 'msg_channel', 'text'],
  ['msg_channel with json', 'msg_channel', 'json'],
  ['length_prefixed with buffer', 'length_prefixed', 'buffer'],
  ['length_prefixed with text', 'length_prefixed', 'text'],
  ['length_prefixed with json', 'length_prefixed', 'json'],
  ['lines with text', 'lines', 'text'],
  ['lines with json', 'lines', 'json'],
  ['lines with buffer', 'lines', 'buffer'],
  ['content_length with buffer', 'content_length', 'buffer'],
  ['content_length with text', 'content_length', 'text'],
  ['content_length with json', 'content_length', 'json'],
  ['netstring with buffer', 'netstring', 'buffer'],
  ['netstring with text', 'netstring', 'text'],
  ['netstring with json', 'netstring', 'json'],
  ['varint with buffer', 'varint', 'buffer'],
  ['varint with text', 'varint', 'text'],
  ['varint with json', 'varint', 'json'],
] as const

/** Returns the test values of an encoding that a protocol can carry. */
export function valuesFor(protocol: string, encoding: string | undefined): unknown[] {
  const refusesEmpty = protocol === 'uds_comms' || protocol === 'stockings'
  return (VALUES[encoding ?? 'own'] as unknown[]).filter(
    value => !refusesEmpty || encoding === 'json' || (value as string | Buffer).length > 0,
  )
}

/** Asserts that the received values equal the sent ones; fast for large Buffers. */
export function expectSame(got: unknown[], sent: unknown[]): void {
  expect(got.length).toBe(sent.length)
  for (const [i, value] of sent.entries()) {
    const other = got[i]
    const same = Buffer.isBuffer(value)
      ? Buffer.isBuffer(other) && value.equals(other)
      : JSON.stringify(value) === JSON.stringify(other)
    if (!same) expect(other).toEqual(value)
  }
}
