import { Codec } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode, loopTurns } from '../support/channels.js'
import { cleanUpAfterEach } from '../support/processes.js'
import { expectSame, KINDS, valuesFor } from '../support/stream-values.js'
import {
  FRAMES,
  LINES,
  patternBytes,
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

describe('sendAll on a stream', () => {
  it('sends the same bytes as one send per value', async () => {
    for (const [, protocol, encoding] of KINDS) {
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

  it('sends nothing of a batch with a value that cannot be encoded', async () => {
    const [a, b] = streamPair({ ...LINES, encoding: 'json' })
    const refuse = () => a.sendAll([1, 2, 3n, 4] as never)
    expect(refuse).toThrow(expect.objectContaining({ index: 2 }))
    const holes = () => a.sendAll([1, undefined] as never)
    expect(holes).toThrow(expect.objectContaining({ index: 1 }))
    a.send('next')
    expect(await receiveUpTo(b, 1)).toEqual(['next'])
    expect(a.stats.sent).toBe(1)
  })

  it('sends the result of toJSON, in a batch of thousands of values', async () => {
    const [a, b] = streamPair({ ...FRAMES, encoding: 'json' })
    const values = Array.from({ length: 5_000 }, (_, i) => ({ i, at: new Date(i), text: `é${i}` }))
    a.sendAll([...values, new Date(0)] as never)
    const got = await receiveUpTo(b, 5_001)
    expectSame(got, JSON.parse(JSON.stringify([...values, new Date(0)])))
  })

  it('sends short and long JSON values of one batch in order', async () => {
    const short = ['', 0, null, { a: 'é' }]
    const long = ['x'.repeat(20_000), { text: '€'.repeat(9_000) }]
    const orders = [[...short, ...long, ...short], [...long, ...short, ...long], long, [long[0]]]
    for (const values of orders) {
      const [a, b] = streamPair({ ...FRAMES, encoding: 'json' })
      a.sendAll(values as never)
      expectSame(await receiveUpTo(b, values.length), values)
    }
  })

  it('rejects a line that contains a delimiter, and the channel stays usable', async () => {
    const [a, b] = streamPair(LINES)
    expect(() => a.send('two\nlines')).toThrow(errorWithCode('UNENCODABLE'))
    expect(() => a.send('lone \ud800')).toThrow(errorWithCode('ILL_FORMED_TEXT'))
    expect(() => a.sendAll(['one', 'two\nlines'] as never)).toThrow(errorWithCode('UNENCODABLE'))
    a.send('fine')
    const got = await receiveUpTo(b, 1)
    expect(['fine', 'one']).toContain(got[0])
  })

  it('names the index of a value that the framing rejects, and sends nothing', async () => {
    const [a, b] = streamPair(LINES)
    const refuse = () => a.sendAll(['one', 'two\nlines', 'three'] as never)
    expect(refuse).toThrow(expect.objectContaining({ index: 1 }))
    a.send('next')
    expect(await receiveUpTo(b, 1)).toEqual(['next'])
  })
})

describe('the send queue of a stream', () => {
  it('writes the messages of one tick at once', async () => {
    const [raw, channel] = rawStreamPair(LINES)
    for (let i = 0; i < 100; i++) expect(channel.send(`${i}`)).toBe(true)
    expect(channel.stats.queued).toBe(100)
    const first = (await raw.receive())?.value as Buffer
    expect(first.toString().split('\n')).toHaveLength(101)
    expect(channel.stats).toMatchObject({ queued: 0, queuedBytes: 0 })
  })

  it('holds copies, so that a Buffer can be reused after send', async () => {
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

  it('makes send return false above highWaterMark, and drain comes once at half of it', async () => {
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

  it('makes send return false above half of maxQueuedFds, and drain comes once at a quarter of it', async () => {
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

  it('makes send return true only for what the kernel has taken if highWaterMark is 0', async () => {
    const [a, b] = streamPair({ ...FRAMES, highWaterMark: 0 })
    expect(a.send('small')).toBe(true)
    expect(a.stats.queuedBytes).toBe(0)
    expect(a.send(patternBytes(MIB))).toBe(false)
    const drained = new Promise(resolve => a.once('drain', resolve as never))
    await receiveUpTo(b, 2)
    await drained
    expect(a.stats.queuedBytes).toBe(0)
  })

  it('is limited by maxQueued, but takes a larger message when it is empty', async () => {
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

  it('resolves flush once the kernel has taken everything sent before it, not what came later', async () => {
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

  it('makes progress in both directions if both sides send more than the kernel buffers', async () => {
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

describe('the stats of a stream', () => {
  it('count the noise outside of frames and the bytes of an incomplete frame', async () => {
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
})

describe('request on a stream', () => {
  it('receives the replies in the order of the requests', async () => {
    const [a, b] = streamPair({ ...LINES, encoding: 'json' })
    b.on('message', value => void b.send((value as number) * 2))
    const replies = await Promise.all([1, 2, 3].map(value => a.request(value)))
    expect(replies.map(({ value }) => value)).toEqual([2, 4, 6])
  })
})
