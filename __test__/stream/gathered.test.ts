import { once } from 'node:events'
import fc from 'fast-check'
import { adopt, type Channel, type FdSet } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode, track } from '../support/channels.js'
import {
  FRAMES,
  LINES,
  rawStreamPair,
  receiveUpTo,
  runCleanupsAfterEach,
  streamPair,
} from '../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()

/** Texts of each representation that V8 has, of lengths on both sides of what is gathered. */
const text = fc.oneof(
  fc.string({ unit: 'grapheme-ascii', maxLength: 40 }),
  fc.string({ unit: fc.constantFrom('é', 'ÿ', 'a'), maxLength: 20 }),
  fc.string({ unit: fc.constantFrom('€', '😀', 'a', '\u{10ffff}'), maxLength: 20 }),
  fc.constantFrom('x'.repeat(511), 'é'.repeat(512), '€'.repeat(513), '😀'.repeat(300)),
)

const illFormedText = fc.constantFrom('\ud800', 'a\udc00b', '😀\ud83d')

const bytes = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.constantFrom(4_095, 4_096, 4_097, 40_000).map(length => new Uint8Array(length).fill(length)),
)

/** One call of the program. */
type Step =
  | { do: 'text' | 'ill-formed'; value: string }
  | { do: 'bytes' | 'words'; value: Uint8Array }
  | { do: 'fds'; value: string; fds: number }
  | { do: 'many'; values: (string | Uint8Array)[] }
  | { do: 'tick' | 'flush' | 'stats' }

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('text' as const), value: text }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('bytes' as const), value: bytes }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('words' as const), value: bytes }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('ill-formed' as const), value: illFormedText }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('fds' as const), value: text, fds: fc.nat(2) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('many' as const),
      values: fc.array(fc.oneof(text, bytes), { maxLength: 5 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('tick', 'flush', 'stats') }) },
)

/** The bytes of a message, by the slowest and simplest way. */
const bytesOf = (value: string | Uint8Array) =>
  typeof value === 'string' ? Buffer.from(value, 'utf8') : Buffer.from(value)

/** Runs the steps on a channel. Returns the messages that must arrive, with their descriptors. */
async function run(channel: Channel, steps: Step[]): Promise<[string, number][]> {
  const sent: [string, number][] = []
  const note = (value: string | Uint8Array, fds = 0) =>
    sent.push([bytesOf(value).toString('latin1'), fds])
  const wait = async (fits: boolean) => {
    if (!fits) await once(channel, 'drain')
  }
  for (const each of steps) {
    switch (each.do) {
      case 'text':
      case 'bytes':
        note(each.value)
        await wait(channel.send(each.value))
        break
      case 'words': {
        const words = new Uint16Array(each.value)
        note(new Uint8Array(words.buffer))
        await wait(channel.send(words))
        break
      }
      case 'ill-formed':
        expect(() => channel.send(each.value)).toThrow(errorWithCode('ERR_FDWIRE_ILL_FORMED_TEXT'))
        break
      case 'fds': {
        note(each.value, each.fds)
        const fds = Array.from({ length: each.fds }, () => 0)
        await wait(channel.send(each.value, { fds }))
        break
      }
      case 'many':
        for (const value of each.values) note(value)
        await wait(channel.sendAll(each.values))
        break
      case 'tick':
        await new Promise(setImmediate)
        break
      case 'flush':
        await channel.flush()
        break
      case 'stats':
        expect(channel.stats.sent).toBe(sent.length)
    }
  }
  return sent
}

describe('messages that one call of native code takes', () => {
  it('arrive as sent and in order, whatever they are and whatever happens between them', async () => {
    const property = fc.asyncProperty(
      fc.array(step, { maxLength: 60 }),
      fc.constantFrom(0, 300, 65_536, 1_000_000),
      async (steps, highWaterMark) => {
        const [a, b] = streamPair({ ...FRAMES, maxFds: 4, highWaterMark })
        const got: [string, number][] = []
        b.on('message', (value: unknown, fds: FdSet) => {
          got.push([(value as Buffer).toString('latin1'), fds.length])
          fds.close()
        })
        const sent = await run(a, steps)
        await a.close()
        if (!b.closed) await once(b, 'close')
        expect(got).toEqual(sent)
      },
    )
    await fc.assert(property, { numRuns: 150 })
  })

  it('arrive in order on each of many channels to which one tick sends', async () => {
    const pairs = Array.from({ length: 20 }, () => streamPair({ ...FRAMES, encoding: 'text' }))
    const values = Array.from({ length: 700 }, (_, i) => `${i} ${i % 7 ? 'plain' : 'naïve €'}`)
    for (const value of values) {
      for (const [index, [a]] of pairs.entries()) a.send(`${index}: ${value}`)
    }
    for (const [index, [, b]] of pairs.entries()) {
      expect(await receiveUpTo(b, values.length)).toEqual(values.map(it => `${index}: ${it}`))
    }
  })

  it('are dropped with a channel that is destroyed in the same tick, and reach no later channel', async () => {
    const [a, b] = streamPair({ ...FRAMES, encoding: 'text' })
    a.send('last')
    a.destroy()
    const [c, d] = streamPair({ ...FRAMES, encoding: 'text' })
    c.send('first')
    expect(await receiveUpTo(d, 1)).toEqual(['first'])
    expect(await receiveUpTo(b, 1)).toEqual([])
  })

  it('are sent before the socket is detached', async () => {
    const [a, b] = streamPair({ ...FRAMES, encoding: 'text' })
    a.send('before')
    const again = track(adopt(a.detach(), { ...FRAMES, encoding: 'text' }))
    again.send('after')
    expect(await receiveUpTo(b, 2)).toEqual(['before', 'after'])
  })

  it('have the delimiter of lines in none of them', async () => {
    const [a, b] = streamPair({ ...LINES, encoding: 'buffer' })
    a.send('one')
    for (const value of ['t\nwo', Buffer.from('t\nwo')]) {
      expect(() => a.send(value)).toThrow(errorWithCode('ERR_FDWIRE_UNENCODABLE'))
    }
    a.send(Buffer.from('three'))
    expect((await receiveUpTo(b, 2)).map(String)).toEqual(['one', 'three'])
  })

  it('are copied when they are sent', async () => {
    const [a, b] = streamPair({ ...FRAMES, encoding: 'buffer' })
    const memory = Buffer.from('as sent')
    a.send(memory)
    memory.fill(0)
    expect((await receiveUpTo(b, 1)).map(String)).toEqual(['as sent'])
  })

  it('have their true length, even if a program overrides the property', async () => {
    const [a, b] = streamPair({ ...FRAMES, encoding: 'buffer' })
    const value = Object.defineProperty(Buffer.from('short'), 'length', { value: 4_000 })
    a.send(value)
    expect((await receiveUpTo(b, 1)).map(String)).toEqual(['short'])
  })

  it('have the bytes of shared, resized, detached and mistyped memory', async () => {
    const [a, b] = streamPair({ ...FRAMES, encoding: 'buffer' })
    const shared = new Uint8Array(new SharedArrayBuffer(2)).fill(0x61)
    const resizable: ArrayBuffer = Reflect.construct(ArrayBuffer, [4, { maxByteLength: 8 }])
    const resized = new Uint8Array(resizable).fill(0x62)
    ;(resizable as { resize?(length: number): void }).resize?.(2)
    const detached = new Uint8Array(2)
    structuredClone(detached.buffer, { transfer: [detached.buffer] })
    const mistyped = Object.setPrototypeOf(new Uint16Array([0x63, 0x64]), Uint8Array.prototype)
    for (const value of [shared, resized, detached, mistyped, new DataView(new ArrayBuffer(1))]) {
      a.send(value as Uint8Array)
    }
    expect((await receiveUpTo(b, 5)).map(String)).toEqual(['aa', 'bb', '', 'cd', '\0'])
  })

  it('make send return false once the queue exceeds the high-water mark', async () => {
    const [a] = streamPair({ ...FRAMES, encoding: 'buffer', highWaterMark: 1_000 })
    const message = Buffer.alloc(100)
    let fits = 0
    while (a.send(message)) fits++
    const { queuedBytes } = a.stats
    expect(queuedBytes).toBeGreaterThan(1_000)
    expect(queuedBytes).toBeLessThanOrEqual(1_000 + 100 + 4)
    expect(fits).toBeGreaterThan(10)
  })

  it('fill the queue to maxQueued and not beyond', async () => {
    const [a] = streamPair({ ...FRAMES, encoding: 'text', maxQueued: 3_000 })
    const send = () => {
      for (;;) a.send('€'.repeat(100))
    }
    expect(send).toThrow(errorWithCode('ERR_FDWIRE_QUEUE_FULL'))
    expect(a.stats.queuedBytes).toBeLessThanOrEqual(3_000 + 4 * 10)
  })

  it('are framed by their length in bytes', async () => {
    const [raw, channel] = rawStreamPair({ ...FRAMES, encoding: 'text' })
    channel.send('é')
    channel.end()
    const chunks: Buffer[] = []
    for await (const { value } of raw) chunks.push(value)
    expect(Buffer.concat(chunks).toString('hex')).toBe('00000002c3a9')
  })
})
