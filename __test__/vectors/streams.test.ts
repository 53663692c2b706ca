import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Codec } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach } from '../support/channels.js'
import { testPath } from '../support/processes.js'
import { rawStreamPair, whenClosed } from '../support/streams.js'

destroyChannelsAfterEach()

const PROTOCOLS = [
  'uds_comms',
  'stockings',
  'msg_channel',
  'length_prefixed',
  'lines',
  'content_length',
  'netstring',
  'varint',
] as const
type Name = (typeof PROTOCOLS)[number]

interface Value {
  text?: string
  bytes?: string
  repeat?: number
}
interface EncodeRow extends Value {
  options?: object
  wire?: string
  sha256?: string
  refused?: string
}
interface DecodeRow {
  case: string
  chunks: string[]
  options?: object
  gives: (Value & { malformed?: string })[]
  noise?: number
  lost?: string
  missing?: number
}
interface Vectors {
  encode: EncodeRow[]
  decode: DecodeRow[]
  base64?: [string, string | null][]
}

const vectorsOf = (name: Name): Vectors =>
  JSON.parse(readFileSync(testPath(`../vectors/${name}.json`), 'utf8'))

/** Decodes hex in space-separated parts, each `hex` or `hex*repetitions`. */
function unhex(parts: string): Buffer {
  const decoded = parts.split(' ').map(part => {
    const [hex = '', times = '1'] = part.split('*')
    return Buffer.from(hex.repeat(Number(times)), 'hex')
  })
  return Buffer.concat(decoded)
}

function payloadOf({ text, bytes, repeat = 1 }: Value): string | Buffer {
  return text === undefined ? unhex(bytes as string) : text.repeat(repeat)
}

/**
 * What a stream decodes to: values and codes of malformed messages in order, and the final error.
 */
interface Decoded {
  items: unknown[]
  end: string | undefined
  missing: number | undefined
}

/** Converts a value to a form that Vitest compares quickly, however large it is. */
function comparable(value: unknown): unknown {
  if (Buffer.isBuffer(value)) return { bytes: value.toString('hex') }
  return { text: value }
}

function expected({ gives, lost, missing }: DecodeRow): Decoded {
  const items = gives.map(item => item.malformed ?? comparable(payloadOf(item)))
  return { items, end: lost ?? (missing ? 'ERR_FDWIRE_CUT_SHORT' : undefined), missing }
}

function decode(name: Name, options: object | undefined, chunks: Buffer[]): Decoded {
  let items: unknown[] = []
  const codes: string[] = []
  const onMalformed = (error: Error) => codes.push((error as NodeJS.ErrnoException).code as string)
  const codec = new Codec(name, { ...options, onMalformed } as never)
  let end: { code?: string; missing?: number } = {}
  // A call of `push` does not reveal the order between malformed messages and values, unless it
  // gets a single byte.
  const append = (values: unknown[]) => {
    items = items.concat(codes.splice(0), values.map(comparable))
  }
  try {
    for (const chunk of chunks) append(codec.push(chunk))
    append(codec.end())
  } catch (error) {
    items = items.concat(codes.splice(0))
    end = error as typeof end
  }
  return { items, end: end.code, missing: end.missing }
}

/** Drops the order between values and malformed messages, which a single `push` does not reveal. */
function unordered({ items, ...rest }: Decoded): unknown {
  const isCode = (item: unknown) => typeof item === 'string'
  return { ...rest, codes: items.filter(isCode), values: items.filter(item => !isCode(item)) }
}

const singleBytes = (bytes: Buffer) => Array.from(bytes, (_, at) => bytes.subarray(at, at + 1))

describe.each(PROTOCOLS)('the codec of %s', name => {
  const { encode } = vectorsOf(name)
  it('encodes the values of the vectors to their bytes, and decodes those bytes to the values', () => {
    for (const { options, wire, sha256, refused, ...row } of encode) {
      const codec = new Codec(name, { ...options } as never)
      const value = payloadOf(row)
      if (refused !== undefined) {
        expect(() => codec.encode(value)).toThrow(expect.objectContaining({ code: refused }))
        continue
      }
      const frame = codec.encode(value)
      expect(frame.equals(unhex(wire as string)), JSON.stringify(row)).toBe(true)
      if (sha256) expect(createHash('sha256').update(frame).digest('hex')).toBe(sha256)
      const result = { items: [comparable(value)], end: undefined, missing: undefined }
      expect(decode(name, options, [frame])).toEqual(result)
      if (frame.length < 5_000) expect(decode(name, options, singleBytes(frame))).toEqual(result)
    }
  })
})

describe.each(PROTOCOLS)('the codec of %s decodes', name => {
  const { decode: rows } = vectorsOf(name)
  it.each(rows.map(row => [row.case, row] as const))('%s', (_, row) => {
    const chunks = row.chunks.map(unhex)
    const bytes = Buffer.concat(chunks)
    const all = expected(row)
    expect(unordered(decode(name, row.options, chunks)), 'in the given chunks').toEqual(
      unordered(all),
    )
    expect(unordered(decode(name, row.options, [bytes])), 'in one chunk').toEqual(unordered(all))
    if (bytes.length > 5_000) return
    expect(decode(name, row.options, singleBytes(bytes)), 'byte by byte').toEqual(all)
    for (let at = 0; at <= bytes.length; at++) {
      if (at > 60 && at < bytes.length - 60) continue
      const halves = [bytes.subarray(0, at), bytes.subarray(at)]
      const cut = unordered(decode(name, row.options, halves))
      expect(cut, `cut at ${at}`).toEqual(unordered(all))
    }
  })
})

describe.each(PROTOCOLS)('a channel of %s decodes', name => {
  const { decode: rows } = vectorsOf(name)
  it.each(rows.map(row => [row.case, row] as const))('%s', async (_, row) => {
    const [raw, channel] = rawStreamPair({ protocol: name, type: 'stream', ...row.options })
    const items: unknown[] = []
    let end: { code?: string; missing?: number } = {}
    channel.on('message', value => items.push(comparable(value)))
    channel.on('malformed', error => items.push((error as { code?: string }).code))
    channel.on('error', error => {
      end = error as typeof end
    })
    // The channel may be closed by a fatal error before all chunks are sent.
    raw.on('error', () => {})
    for (const chunk of row.chunks) if (!raw.closed) raw.send(unhex(chunk))
    const closed = whenClosed(channel)
    await raw.close().catch(() => {})
    await closed
    expect({ items, end: end.code, missing: end.missing }).toEqual(expected(row))
    if (row.lost === undefined) expect(channel.stats.noise).toBe(row.noise ?? 0)
  })
})

describe('the uds_comms codec', () => {
  const { base64 = [] } = vectorsOf('uds_comms')
  const isUtf8 = (bytes: Buffer) => Buffer.from(bytes.toString()).equals(bytes)
  // Replaces '$', which ends a frame, by another byte that base64 decoders skip.
  const frameOf = (hex: string) =>
    Buffer.from(`%${Buffer.from(hex, 'hex').toString('latin1').replaceAll('$', '!')}$`, 'latin1')

  it('decodes base64 like the original with lenient: true', () => {
    expect(base64.length).toBe(798)
    for (const [encoded, decoded] of base64) {
      const bytes = Buffer.from(decoded ?? '', 'hex')
      const good = isUtf8(bytes) ? comparable(bytes.toString()) : 'ERR_FDWIRE_NOT_UTF8'
      const items = [decoded === null ? 'ERR_FDWIRE_NOT_BASE64' : good]
      const result = decode('uds_comms', { lenient: true }, [frameOf(encoded)])
      expect(result, encoded).toEqual({ items, end: undefined, missing: undefined })
    }
  })

  it('decodes only canonical base64 by default', () => {
    for (const [encoded, decoded] of base64) {
      const frame = frameOf(encoded)
      if (frame.indexOf('%', 1) > 0) continue
      const bytes = Buffer.from(decoded ?? '', 'hex')
      const isCanonical = frame.equals(Buffer.from(`%${bytes.toString('base64')}$`))
      const good = isUtf8(bytes) ? comparable(bytes.toString()) : 'ERR_FDWIRE_NOT_UTF8'
      const { items } = decode('uds_comms', undefined, [frame])
      expect(items, encoded).toEqual([isCanonical ? good : 'ERR_FDWIRE_NOT_BASE64'])
    }
  })
})

describe('the stockings codec', () => {
  it('encodes an empty message to no bytes by default', () => {
    const codec = new Codec('stockings')
    expect([codec.encode('').length, codec.encode(Buffer.alloc(0)).length]).toEqual([0, 0])
  })
})

describe.each(['uds_comms', 'stockings', 'lines'] as const)('the codec of %s', name => {
  it('refuses to encode a lone surrogate', () => {
    const codec = new Codec(name)
    expect(() => codec.encode('a\ud800')).toThrow(
      expect.objectContaining({ code: 'ERR_FDWIRE_ILL_FORMED_TEXT' }),
    )
  })
})
