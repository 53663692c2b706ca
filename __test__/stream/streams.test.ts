import { join } from 'node:path'
import { type Channel, Codec, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode, loopTurns, track } from '../support/channels.js'
import { cleanUpAfterEach, temporaryDirectory } from '../support/processes.js'
import {
  abstractName,
  connectedPair,
  FRAMES,
  LINES,
  patternBytes,
  RAW_STREAM,
  rawStreamPair,
  receiveUpTo,
  runCleanupsAfterEach,
  streamPair,
  tcpPair,
  waitUntil,
} from '../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()
cleanUpAfterEach()

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
const BYTES = SIZES.map(patternBytes)

const VALUES: Record<string, unknown[]> = {
  text: TEXTS,
  json: JSONS,
  buffer: BYTES,
  own: TEXTS.flatMap((text, i) => [text, BYTES[i % BYTES.length]]),
}

const WAYS: Record<string, (options: object) => Promise<readonly [Channel, Channel]>> = {
  'a pair': async options => pair(options as never).map(track) as [Channel, Channel],
  'a path': options => connectedPair(join(temporaryDirectory(), 'socket'), options),
  'an abstract name': options => connectedPair(abstractName(), options),
  'TCP, IPv4': options => tcpPair(options),
  'TCP, IPv6': options => connectedPair({ host: '::1', port: 0 }, options),
  'TCP, by a name': options => connectedPair({ host: 'localhost', port: 0 }, options),
}

const KINDS = [
  ['uds_comms', 'text'],
  ['uds_comms', 'json'],
  ['stockings', undefined],
  ['msg_channel', 'buffer'],
  ['msg_channel', 'text'],
  ['msg_channel', 'json'],
  ['length_prefixed', 'buffer'],
  ['length_prefixed', 'text'],
  ['length_prefixed', 'json'],
  ['lines', 'text'],
  ['lines', 'json'],
  ['lines', 'buffer'],
] as const

/** What a protocol can carry, of an encoding. */
function valuesFor(protocol: string, encoding: string | undefined): unknown[] {
  const refused = protocol === 'uds_comms' || protocol === 'stockings'
  return (VALUES[encoding ?? 'own'] as unknown[]).filter(
    value => !refused || encoding === 'json' || (value as string | Buffer).length > 0,
  )
}

function expectSame(got: unknown[], sent: unknown[]): void {
  expect(got.length).toBe(sent.length)
  for (const [i, value] of sent.entries()) {
    const other = got[i]
    const same = Buffer.isBuffer(value)
      ? Buffer.isBuffer(other) && value.equals(other)
      : JSON.stringify(value) === JSON.stringify(other)
    if (!same) expect(other).toEqual(value)
  }
}

describe('values of every size arrive as they were sent, in order, both ways', () => {
  describe.each(KINDS)('%s, %s', (protocol, encoding) => {
    const sent = valuesFor(protocol, encoding)
    it.each(Object.keys(WAYS))('over %s', async way => {
      const [a, b] = await (WAYS[way] as (typeof WAYS)[string])({
        protocol,
        ...(encoding && { encoding }),
        ...(way === 'a pair' && { type: 'stream' }),
      })
      for (const value of sent) a.send(value)
      b.sendAll(sent as never)
      const [there, here] = await Promise.all([
        receiveUpTo(b, sent.length),
        receiveUpTo(a, sent.length),
      ])
      expectSame(there, sent)
      expectSame(here, sent)
      expect(a.stats).toMatchObject({ sent: sent.length, received: sent.length, queuedBytes: 0 })
      expect(a.stats).toMatchObject({ noise: 0, inHand: 0, unread: 0, malformed: 0 })
    })
  })

  it('raw: every byte, in chunks as they come', async () => {
    const [a, b] = await tcpPair(RAW_STREAM)
    const sent = BYTES.filter(bytes => bytes.length > 0)
    for (const bytes of sent) a.send(bytes)
    a.end()
    const chunks: Buffer[] = []
    for await (const { value } of b) chunks.push(value as Buffer)
    expect(Buffer.concat(chunks).equals(Buffer.concat(sent))).toBe(true)
  })
})

describe('messages may be split anywhere', () => {
  it.each(KINDS)('%s, %s: byte by byte', async (protocol, encoding) => {
    const options = { protocol, ...(encoding && { encoding }) } as never
    const codec = new Codec(protocol, (encoding ? { encoding } : {}) as never)
    const [raw, channel] = rawStreamPair(options)
    const values = valuesFor(protocol, encoding).filter(v => JSON.stringify(v).length < 600)
    const bytes = Buffer.concat(values.map(value => codec.encode(value as never)))
    const received = receiveUpTo(channel, values.length)
    for (const byte of bytes) {
      raw.send(Buffer.of(byte))
      await raw.flush()
      await loopTurns(1)
    }
    expectSame(await received, values)
  })

  it.each(KINDS)('%s, %s: at every place of two messages', async (protocol, encoding) => {
    const codec = new Codec(protocol, (encoding ? { encoding } : {}) as never)
    const values = encoding === 'buffer' ? [patternBytes(9), patternBytes(5)] : ['é水', '😀x']
    const bytes = Buffer.concat(values.map(value => codec.encode(value as never)))
    const [raw, channel] = rawStreamPair({ protocol, ...(encoding && { encoding }) })
    for (let at = 1; at < bytes.length; at++) {
      const received = receiveUpTo(channel, 2)
      raw.send(bytes.subarray(0, at))
      await raw.flush()
      await loopTurns(2)
      raw.send(bytes.subarray(at))
      expectSame(await received, values)
    }
  })

  it('a large one comes in small pieces without quadratic work', async () => {
    const [raw, channel] = rawStreamPair(FRAMES)
    const value = patternBytes(4 * MIB)
    const frame = new Codec('length_prefixed').encode(value)
    const received = channel.receive()
    for (let at = 0; at < frame.length; at += 1_500) {
      raw.send(frame.subarray(at, at + 1_500))
      if (raw.stats.queuedBytes > 100_000) await raw.flush()
    }
    expect(value.equals((await received)?.value as Buffer)).toBe(true)
  })
})

describe('sendAll', () => {
  it('sends the same bytes as send one by one', async () => {
    for (const [protocol, encoding] of KINDS) {
      const values = valuesFor(protocol, encoding).slice(0, 9)
      const got: Buffer[] = []
      for (const batch of [false, true]) {
        const [raw, channel] = rawStreamPair({ protocol, ...(encoding && { encoding }) })
        if (batch) channel.sendAll(values as never)
        else for (const value of values) channel.send(value)
        channel.end()
        const chunks: Buffer[] = []
        for await (const { value } of raw) chunks.push(value)
        got.push(Buffer.concat(chunks))
      }
      expect(got[0]?.equals(got[1] as Buffer), `${protocol} ${encoding}`).toBe(true)
    }
  })

  it('sends nothing of a batch with a value that can not be encoded', async () => {
    const [a, b] = streamPair({ ...LINES, encoding: 'json' })
    const refuse = () => a.sendAll([1, 2, 3n, 4] as never)
    expect(refuse).toThrow(expect.objectContaining({ index: 2 }))
    const holes = () => a.sendAll([1, undefined] as never)
    expect(holes).toThrow(expect.objectContaining({ index: 1 }))
    a.send('next')
    expect(await receiveUpTo(b, 1)).toEqual(['next'])
    expect(a.stats.sent).toBe(1)
  })

  it('takes what toJSON gives, and joins what stands in one read', async () => {
    const [a, b] = streamPair({ ...FRAMES, encoding: 'json' })
    const values = Array.from({ length: 5_000 }, (_, i) => ({ i, at: new Date(i), text: `é${i}` }))
    a.sendAll([...values, new Date(0)] as never)
    const got = await receiveUpTo(b, 5_001)
    expectSame(got, JSON.parse(JSON.stringify([...values, new Date(0)])))
  })

  it('refuses a line with a delimiter alone, and the channel goes on', async () => {
    const [a, b] = streamPair(LINES)
    expect(() => a.send('two\nlines')).toThrow(errorWithCode('UNENCODABLE'))
    expect(() => a.send('lone \ud800')).toThrow(errorWithCode('ILL_FORMED_TEXT'))
    expect(() => a.sendAll(['one', 'two\nlines'] as never)).toThrow(errorWithCode('UNENCODABLE'))
    a.send('fine')
    const got = await receiveUpTo(b, 1)
    expect(['fine', 'one']).toContain(got[0])
  })

  it('tells index, and sends nothing, also where the framing refuses a value', async () => {
    const [a, b] = streamPair(LINES)
    const refuse = () => a.sendAll(['one', 'two\nlines', 'three'] as never)
    expect(refuse).toThrow(expect.objectContaining({ index: 1 }))
    a.send('next')
    expect(await receiveUpTo(b, 1)).toEqual(['next'])
  })
})

describe('the queue', () => {
  it('gathers what one tick sends, in one write', async () => {
    const [raw, channel] = rawStreamPair(LINES)
    for (let i = 0; i < 100; i++) expect(channel.send(`${i}`)).toBe(true)
    expect(channel.stats.queued).toBe(100)
    const first = (await raw.receive())?.value as Buffer
    expect(first.toString().split('\n')).toHaveLength(101)
    expect(channel.stats).toMatchObject({ queued: 0, queuedBytes: 0 })
  })

  it('copies: a Buffer can be used again right after send', async () => {
    for (const size of [10, 50_000, 1 * MIB]) {
      const [a, b] = streamPair(FRAMES)
      const bytes = patternBytes(size)
      for (let i = 0; i < 3; i++) {
        bytes[0] = i
        a.send(bytes)
      }
      bytes.fill(255)
      const got = (await receiveUpTo(b, 3)) as Buffer[]
      expect(got.map(one => [one[0], one[size - 1]])).toEqual(
        [0, 1, 2].map(i => [i, patternBytes(size)[size - 1]]),
      )
    }
  })

  it('send gives false above highWaterMark, and drain comes once, at half of it', async () => {
    const [a, b] = streamPair(FRAMES, {})
    let drained = 0
    a.on('drain', () => {
      expect(a.stats.queuedBytes).toBeLessThanOrEqual(32_768)
      drained++
    })
    const piece = patternBytes(10_000)
    let sent = 1
    while (a.send(piece)) sent++
    expect(a.stats.queuedBytes).toBeGreaterThan(65_536)
    for (let i = 0; i < 5; i++) expect(a.send(piece)).toBe(false)
    await loopTurns(3)
    expect(drained).toBe(0)
    await receiveUpTo(b, sent + 5)
    await waitUntil(() => drained > 0)
    await loopTurns(3)
    expect(drained).toBe(1)
  })

  it('send gives false where more than half of maxQueuedFds wait, and drain comes once, at half of that', async () => {
    const [a, b] = streamPair({ ...FRAMES, maxFds: 4 })
    let drained = 0
    a.on('drain', () => {
      expect(a.stats.queuedFds).toBeLessThanOrEqual(256)
      drained++
    })
    let sent = 1
    while (a.send('small', { fds: [0, 0, 0] })) sent++
    expect(a.stats.queuedBytes).toBeLessThan(65_536)
    expect(a.stats.queuedFds).toBe(513)
    expect(a.send('small', { fds: [0] })).toBe(false)
    for (let i = 0; i <= sent; i++) (await b.receive())?.fds.close()
    await waitUntil(() => drained > 0)
    await loopTurns(3)
    expect(drained).toBe(1)
  })

  it('highWaterMark 0: true only for what the kernel has', async () => {
    const [a, b] = streamPair({ ...FRAMES, highWaterMark: 0 })
    expect(a.send('small')).toBe(true)
    expect(a.stats.queuedBytes).toBe(0)
    expect(a.send(patternBytes(MIB))).toBe(false)
    const drained = new Promise(resolve => a.once('drain', resolve as never))
    await receiveUpTo(b, 2)
    await drained
    expect(a.stats.queuedBytes).toBe(0)
  })

  it('is bounded by maxQueued; what is larger is taken into an empty queue', async () => {
    const [a, b] = streamPair({ ...FRAMES, maxQueued: 100_000 })
    expect(a.send(patternBytes(MIB))).toBe(false)
    const { queuedBytes } = a.stats
    expect(() => a.send('more')).toThrow(errorWithCode('QUEUE_FULL'))
    expect(a.stats.queuedBytes).toBe(queuedBytes)
    await Promise.all([a.flush(), receiveUpTo(b, 1)])
    a.send('again')
    expect(String((await b.receive())?.value)).toBe('again')
    let sent = 0
    const fill = () => {
      for (;;) {
        a.send(patternBytes(20_000))
        sent++
      }
    }
    expect(fill).toThrow(errorWithCode('QUEUE_FULL'))
    expect(a.stats.queuedBytes).toBeLessThanOrEqual(110_000)
    expect(await receiveUpTo(b, sent)).toHaveLength(sent)
  })

  it('flush resolves when the kernel has all that was sent before, and not later', async () => {
    const [a, b] = await tcpPair(FRAMES)
    await a.flush()
    a.send('small')
    await a.flush()
    expect(a.stats.queuedBytes).toBe(0)
    a.send(patternBytes(8 * MIB))
    let first = false
    const flushed = a.flush().then(() => {
      first = true
      expect(a.stats.queuedBytes).toBeGreaterThan(4 * MIB)
    })
    a.send(patternBytes(16 * MIB))
    await loopTurns(3)
    expect(first).toBe(false)
    await receiveUpTo(b, 2)
    await flushed
    await receiveUpTo(b, 1)
  })

  it('goes on in both directions while both sides send more than the kernel holds', async () => {
    const [a, b] = streamPair({ ...FRAMES, encoding: 'text' })
    const values = Array.from({ length: 300 }, (_, i) => `${i}`.repeat(20_000))
    for (const value of values) {
      a.send(value)
      b.send(value)
    }
    const both = await Promise.all([receiveUpTo(a, 300), receiveUpTo(b, 300)])
    for (const got of both) expectSame(got, values)
  })
})

describe('what is counted', () => {
  it('noise outside of any frame, and bytes in hand', async () => {
    const codec = new Codec('uds_comms')
    const [raw, channel] = rawStreamPair({ protocol: 'uds_comms' })
    const frame = codec.encode('hello')
    raw.send(Buffer.concat([frame, frame.subarray(0, 3)]))
    expect((await channel.receive())?.value).toBe('hello')
    expect(channel.stats).toMatchObject({ received: 1, receivedBytes: 5, inHand: 3 })
    raw.send(Buffer.concat([frame.subarray(3), Buffer.from('???'), frame]))
    expect(await receiveUpTo(channel, 2)).toEqual(['hello', 'hello'])
    expect(channel.stats).toMatchObject({ received: 3, inHand: 0, noise: 3 })
  })

  it('a request is answered in its order', async () => {
    const [a, b] = streamPair({ ...LINES, encoding: 'json' })
    b.on('message', value => void b.send((value as number) * 2))
    const replies = await Promise.all([1, 2, 3].map(value => a.request(value)))
    expect(replies.map(({ value }) => value)).toEqual([2, 4, 6])
  })
})
