import { once } from 'node:events'
import { type Channel, Codec } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode, loopTurns } from '../support/channels.js'
import { cleanUpAfterEach, Peer, testPath } from '../support/processes.js'
import {
  acceptNext,
  FRAMES,
  patternBytes,
  rawStreamPair,
  receiveUpTo,
  recordEvents,
  runCleanupsAfterEach,
  startListener,
  streamPair,
  waitUntil,
  whenClosed,
} from '../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()
cleanUpAfterEach()

const MIB = 1024 * 1024
const PROTOCOLS = ['uds_comms', 'stockings', 'msg_channel', 'length_prefixed', 'lines'] as const
const child = (name: string, ...args: unknown[]) =>
  new Peer(process.execPath, [
    testPath('support/children/streams.mjs'),
    name,
    ...args.map(arg => JSON.stringify(arg)),
  ])

/** Everything that a channel tells of itself, until it is closed. */
async function toldOf(channel: Channel): Promise<unknown[]> {
  const told = recordEvents(channel)
  channel.on('malformed', error => told.push(error.code))
  await whenClosed(channel)
  return told
}

/** Numbers that look random, the same each time. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

/** What a codec makes of chunks: its messages, and its error's code. */
function decode(codec: Codec, chunks: Iterable<Buffer>): unknown[] {
  const told: unknown[] = []
  try {
    for (const chunk of chunks) told.push(...codec.push(chunk))
    told.push(...codec.end())
  } catch (error) {
    told.push((error as { code: string }).code)
  }
  return told
}

describe.each(PROTOCOLS)('%s', protocol => {
  const encode = (value: string | Buffer) => new Codec(protocol).encode(value as never)
  /** A channel with few bytes allowed, and a peer that writes anything. */
  const bad = (options = {}) => rawStreamPair({ protocol, maxMessage: 100_000, ...options })

  it('truncated at every byte: cut short, with a number of missing bytes that is right', async () => {
    const frame = encode('naïve text')
    for (let at = 1; at < frame.length; at++) {
      const [raw, channel] = bad()
      raw.send(Buffer.concat([frame, frame.subarray(0, at)]))
      raw.end()
      expect(String((await channel.receive())?.value)).toBe('naïve text')
      const error = await channel.receive().catch(caught => caught)
      // Without finalLine what stands behind the last delimiter is no message.
      expect(error).toEqual(errorWithCode('CUT_SHORT'))
      expect(error.missing).toBeGreaterThan(0)
      expect(error.missing).toBeLessThanOrEqual(frame.length - at)
      if (at > 12)
        expect(error.missing).toBe(protocol === 'uds_comms' ? error.missing : frame.length - at)
    }
  })

  it('rubbish ends in an error or in what could not be delivered, never in a crash', async () => {
    const next = random(protocol.length)
    for (let round = 0; round < 40; round++) {
      const length = 1 + Math.floor(next() * 3_000)
      const rubbish = Buffer.from(Array.from({ length }, () => next() * 256))
      const [raw, channel] = bad()
      const told = toldOf(channel)
      raw.send(rubbish)
      raw.end()
      expect((await told).at(-1)).toBe('close')
      raw.destroy()
    }
  })

  it('a flipped bit gives the same with every split of the bytes', () => {
    const next = random(7)
    const good = Buffer.concat(['a', 'naïve', 'x'.repeat(300)].map(encode))
    for (let round = 0; round < 200; round++) {
      const bytes = Buffer.from(good)
      const at = Math.floor(next() * bytes.length)
      bytes[at] = (bytes[at] as number) ^ (1 << Math.floor(next() * 8))
      const whole = decode(new Codec(protocol, { maxMessage: 1_000 }), [bytes])
      const single = Array.from(bytes, byte => Buffer.of(byte))
      expect(decode(new Codec(protocol, { maxMessage: 1_000 }), single)).toEqual(whole)
      const cut = Math.floor(next() * bytes.length)
      const halves = [bytes.subarray(0, cut), bytes.subarray(cut)]
      expect(decode(new Codec(protocol, { maxMessage: 1_000 }), halves)).toEqual(whole)
    }
  })

  it('the codec never changes what it is given, and keeps nothing of it', () => {
    const bytes = Buffer.concat([
      encode('one'),
      encode(protocol === 'lines' ? 'two' : patternBytes(500).toString('hex')),
    ])
    const copy = Buffer.from(bytes)
    const codec = new Codec(protocol)
    const got = [codec.push(bytes.subarray(0, 7)), codec.push(bytes.subarray(7))].flat()
    expect(bytes.equals(copy)).toBe(true)
    const before = got.map(String)
    bytes.fill(0)
    expect(got.map(String)).toEqual(before)
  })

  it('a frame at the limit is taken, one above it is the end, behind what came before', async () => {
    const [raw, channel] = bad({ maxMessage: 1_000 })
    const told = toldOf(channel)
    const large = protocol === 'uds_comms' ? 'x'.repeat(1_010) : 'x'.repeat(1_001)
    raw.send(Buffer.concat([encode('x'.repeat(1_000)), encode(large), encode('behind')]))
    const seen = (await told).map(one => (String(one).length === 1_000 ? 1_000 : one))
    expect(seen).toEqual([1_000, 'ERR_FDWIRE_MESSAGE_TOO_LARGE', 'close'])
    expect(channel.stats.received).toBe(1)
  })

  it('a frame that never ends is refused at the limit', async () => {
    const [raw, channel] = bad()
    const told = toldOf(channel)
    const whole = encode('x'.repeat(400_000))
    raw.on('error', () => {})
    for (let at = 0; at < whole.length - 10 && !channel.closed; at += 10_000) {
      if (raw.closed) break
      raw.send(whole.subarray(at, Math.min(at + 10_000, whole.length - 10)))
      await loopTurns(1)
    }
    expect(await told).toEqual(['ERR_FDWIRE_MESSAGE_TOO_LARGE', 'close'])
  })
})

const line = (text: string) => Buffer.from(text).toString('hex')

describe('headers', () => {
  const headers: [string, string, string, string][] = [
    ['length_prefixed', 'promises 4 GiB', 'ffffffff', 'MESSAGE_TOO_LARGE'],
    ['length_prefixed', 'promises a byte more than the limit', '00100001', 'MESSAGE_TOO_LARGE'],
    ['stockings', 'promises 2^63 bytes', `${'00'.repeat(9)}82`, 'MESSAGE_TOO_LARGE'],
    ['stockings', 'has 16 bytes of ones', `${'7f'.repeat(15)}ff`, 'MESSAGE_TOO_LARGE'],
    ['stockings', 'has 17 bytes', '00'.repeat(17), 'BAD_HEADER'],
    [
      'msg_channel',
      'promises 10^10 - 1 bytes',
      line('\r\nMSG 9999999999\r\n'),
      'MESSAGE_TOO_LARGE',
    ],
    ['msg_channel', 'promises 2^63 bytes', line('\r\nMSG 9223372036854775808\r\n'), 'BAD_HEADER'],
    ['msg_channel', 'promises -1 bytes', line('\r\nMSG -1\r\n'), 'BAD_HEADER'],
    ['msg_channel', 'has no digits', line('\r\nMSG \r\n'), 'BAD_HEADER'],
    ['msg_channel', 'is of HTTP', line('GET / HTTP/1.1\r\n'), 'BAD_HEADER'],
  ]
  it.each(headers)('%s: one that %s', async (protocol, _, header, code) => {
    const [raw, channel] = rawStreamPair({ protocol, maxMessage: MIB })
    const told = toldOf(channel)
    raw.send(Buffer.from(header, 'hex'))
    expect(await told).toEqual([`ERR_FDWIRE_${code}`, 'close'])
  })

  /** The header of a frame, with its length replaced by a larger one where that is a number. */
  const made = (protocol: 'stockings' | 'msg_channel' | 'uds_comms') =>
    new Codec(protocol).encode('x'.repeat(200))

  it.each(['stockings', 'msg_channel', 'uds_comms'] as const)(
    '%s: any header of sixteen equal bytes ends the stream, or waits for what is allowed',
    async protocol => {
      const first = made(protocol)
      for (const byte of [0x00, 0x30, 0x39, 0x66, 0x7f, 0x80, 0xff]) {
        const [raw, channel] = rawStreamPair({ protocol, maxMessage: MIB })
        const told = toldOf(channel)
        raw.send(Buffer.concat([first, Buffer.alloc(16, byte)]))
        raw.end()
        const seen = await told
        expect(String(seen[0])).toBe('x'.repeat(200))
        expect(seen.at(-1)).toBe('close')
        expect(seen.length).toBeGreaterThan(2)
      }
    },
  )

  it.each(['stockings', 'msg_channel', 'uds_comms', 'lines'] as const)(
    '%s: a header that never ends is not kept for ever',
    async protocol => {
      for (const byte of [0x30, 0x39, 0x80, 0xff, 0x20]) {
        const [raw, channel] = rawStreamPair({ protocol, maxMessage: 10_000 })
        raw.on('error', () => {})
        const told = toldOf(channel)
        const piece = Buffer.alloc(4_000, byte)
        for (let sent = 0; sent < 50 && !channel.closed && !raw.closed; sent++) {
          raw.send(piece)
          await loopTurns(1)
          expect(channel.stats.inHand).toBeLessThan(30_000)
        }
        raw.destroy()
        expect((await told).at(-1)).toBe('close')
      }
    },
  )

  it('that promise much cost nothing until it comes', async () => {
    const promises = [
      ['length_prefixed', '3fffffff00'],
      ['stockings', '0000000084ff'],
      ['msg_channel', line('\r\nMSG 1000000000\r\nx')],
    ]
    for (const [protocol, bytes] of promises) {
      const peer = child('announced-length', protocol, bytes)
      const { grown, inHand } = await peer.receive()
      expect(inHand).toBe(bytes?.length && bytes.length / 2)
      expect(grown).toBeLessThan(32)
      await peer.exited
    }
  })
})

describe('a peer', () => {
  it('that reads nothing fills our queue up to its bound', async () => {
    const [, channel] = streamPair({ ...FRAMES, maxQueued: MIB })
    const fill = () => {
      for (;;) channel.send(patternBytes(50_000))
    }
    expect(fill).toThrow(errorWithCode('QUEUE_FULL'))
    expect(channel.stats.queuedBytes).toBeLessThanOrEqual(MIB + 60_000)
    expect(fill).toThrow(errorWithCode('QUEUE_FULL'))
    channel.destroy()
  })

  it('that writes for ever into a channel that nobody reads costs no memory', async () => {
    const listener = await startListener('', FRAMES)
    const peer = child('stops-reading', listener.address)
    const channel = await acceptNext(listener)
    channel.on('error', () => {})
    const bytes = patternBytes(100_000)
    channel.send('first')
    expect(await peer.receive()).toBe('paused')
    for (let i = 0; i < 2_000; i++) {
      if (channel.stats.queuedBytes > MIB) break
      channel.send(bytes)
      await loopTurns(1)
    }
    expect(channel.stats.queuedBytes).toBeGreaterThan(MIB)
    peer.send({})
    const { grown, unread } = await peer.receive()
    expect(grown).toBeLessThan(16)
    expect(unread).toBeLessThan(10)
    await peer.exited
  })

  it('that is faster than its reader is held up, and loses nothing', async () => {
    const [a, b] = streamPair({ ...FRAMES, maxQueued: 256 * MIB })
    const count = 400
    for (let i = 0; i < count; i++) a.send(patternBytes(50_000 + i))
    const lengths: number[] = []
    for await (const { value } of b) {
      lengths.push((value as Buffer).length)
      expect(b.stats.unread).toBeLessThan(200)
      if (lengths.length === count) break
    }
    expect(lengths).toEqual(Array.from({ length: count }, (_, i) => 50_000 + i))
  })

  it('that sends one byte at a time for ever is served beside others', async () => {
    const [slow, a] = rawStreamPair(FRAMES)
    const [x, y] = streamPair(FRAMES)
    const frame = new Codec('length_prefixed').encode(patternBytes(2_000))
    let at = 0
    const got = receiveUpTo(a, 1)
    const others: unknown[] = []
    y.on('message', value => others.push(value))
    while (at < frame.length) {
      slow.send(frame.subarray(at, ++at))
      x.send('other')
      await loopTurns(1)
    }
    expect((await got)[0]).toEqual(patternBytes(2_000))
    await waitUntil(() => others.length === frame.length)
  })

  it('that sends malformed messages is told of, and what is behind them arrives', async () => {
    const [raw, channel] = rawStreamPair({ protocol: 'lines', encoding: 'json' })
    const told: unknown[] = []
    channel.on('malformed', error => told.push(error.code))
    channel.on('message', value => told.push(value))
    raw.send(Buffer.from('1\n{\n2\n\xff\n3\n\n4\n', 'latin1'))
    await waitUntil(() => told.includes(4))
    expect(told.filter(one => typeof one === 'number')).toEqual([1, 2, 3, 4])
    expect(told).toContain('ERR_FDWIRE_NOT_JSON')
    expect(told).toContain('ERR_FDWIRE_NOT_UTF8')
    expect(channel.stats).toMatchObject({ received: 4, malformed: 3 })
    raw.end()
    await once(channel, 'close')
  })
})

describe('a codec', () => {
  it('gives all messages before a fatal error, throws it next, and for ever', () => {
    const codec = new Codec('length_prefixed', { maxMessage: 10, encoding: 'text' })
    const good = new Codec('length_prefixed').encode('fine')
    expect(codec.push(Buffer.concat([good, good, Buffer.from('ffffffff', 'hex')]))).toEqual([
      'fine',
      'fine',
    ])
    for (const call of [() => codec.push(good), () => codec.end(), () => codec.push(good)]) {
      expect(call).toThrow(errorWithCode('MESSAGE_TOO_LARGE'))
    }
  })

  it('end inside of a message throws with what is missing; after a good end push throws', () => {
    const frame = new Codec('length_prefixed').encode(patternBytes(100))
    const cut = new Codec('length_prefixed')
    expect(cut.push(frame.subarray(0, -7))).toEqual([])
    expect(() => cut.end()).toThrow(expect.objectContaining({ missing: 7 }))
    const good = new Codec('length_prefixed')
    expect(good.push(frame)).toHaveLength(1)
    expect(good.end()).toEqual([])
    expect(() => good.push(frame)).toThrow(errorWithCode('CLOSED'))
  })

  it('finalLine: what stands behind the last delimiter is a message too', async () => {
    const codec = new Codec('lines', { finalLine: true })
    expect(codec.push(Buffer.from('one\ntwo'))).toEqual(['one'])
    expect(codec.end()).toEqual(['two'])
    const [raw, channel] = rawStreamPair({ protocol: 'lines', finalLine: true })
    raw.send('one\ntwo')
    raw.end()
    expect(await receiveUpTo(channel, 3)).toEqual(['one', 'two'])
  })
})
