import { Duplex } from 'node:stream'
import { Codec, over } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, track } from '../support/channels.js'

destroyChannelsAfterEach()

// biome-ignore lint/suspicious/noExplicitAny: options of any protocol
type Options = any

/** Every framing, with a value of about `size` characters. Some search for the end of a message. */
const FRAMINGS: [string, Options, (size: number) => unknown][] = [
  ['content_length', { encoding: 'text' }, size => 'x'.repeat(size)],
  ['length_prefixed', { encoding: 'text' }, size => 'x'.repeat(size)],
  ['lines', { encoding: 'text' }, size => 'x'.repeat(size)],
  ['lines', { encoding: 'json' }, size => ['x'.repeat(size)]],
  ['lines', { encoding: 'text', delimiter: '\r\n' }, size => '\r'.repeat(size - 1)],
  ['msg_channel', { encoding: 'text' }, size => 'x'.repeat(size)],
  ['netstring', { encoding: 'text' }, size => 'x'.repeat(size)],
  [
    'socket_protocol',
    {},
    size => ({ status: 0, service_id: 1, data_id: 2, data: ':'.repeat(size) }),
  ],
  ['stockings', {}, size => 'x'.repeat(size)],
  ['uds_comms', {}, size => 'x'.repeat(size)],
  ['varint', { encoding: 'text' }, size => 'x'.repeat(size)],
]

/** Around the sizes at which a message no longer fits the memory that all channels share. */
const SIZES = [3, 400_000, 530_000, 3, 1_500_000, 3, 3]
const CHUNKS = [65_536, 9_999, 300_001, 600_000, 10_000_000]

function* chunksOf(bytes: Buffer, size: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

describe.each(FRAMINGS)('messages of %s %j', (protocol, options, makeValue) => {
  const codec = new Codec(protocol as 'lines', options)
  const values = SIZES.map(makeValue)
  const bytes = Buffer.concat(values.map(value => codec.encode(value as string)))

  it.each(CHUNKS)(
    'arrive whole over a Duplex, whatever their size, in chunks of %i bytes',
    async size => {
      const source = new Duplex({ read() {}, write: (_, __, done) => done() })
      const channel = track(over(source, { protocol, ...options }))
      for (const chunk of chunksOf(bytes, size)) source.push(chunk)
      for (const value of values) {
        // A comparison in the form of a boolean does not print megabytes.
        expect(
          Buffer.from(JSON.stringify((await channel.receive())?.value)).equals(
            Buffer.from(JSON.stringify(value)),
          ),
        ).toBe(true)
      }
    },
  )

  it.each(CHUNKS)('are whole from a Codec, whatever their size, in chunks of %i bytes', size => {
    const decoder = new Codec(protocol as 'lines', options)
    const received = [...chunksOf(bytes, size)].flatMap(chunk => decoder.push(chunk))
    expect(JSON.stringify(received) === JSON.stringify(values)).toBe(true)
  })
})
