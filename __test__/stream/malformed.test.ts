import { once } from 'node:events'
import { type Channel, Codec } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode, loopTurns } from '../support/channels.js'
import { cleanUpAfterEach, streamsPeer } from '../support/processes.js'
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

/** Returns a channel's messages and events, with `malformed`, when it is closed. */
async function eventsUntilClose(channel: Channel): Promise<unknown[]> {
  const events = recordEvents(channel)
  channel.on('malformed', error => events.push(error.code))
  await whenClosed(channel)
  return events
}

/** Returns a pseudorandom generator of numbers in [0, 1), reproducible by its seed. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

/** Decodes chunks: returns the messages and, if the codec throws, the error's code. */
function decode(codec: Codec, chunks: Iterable<Buffer>): unknown[] {
  const events: unknown[] = []
  try {
    for (const chunk of chunks) events.push(...codec.push(chunk))
    events.push(...codec.end())
  } catch (error) {
    events.push((error as { code: string }).code)
  }
  return events
}

describe.each(PROTOCOLS)('%s', protocol => {
  const encode = (value: string | Buffer) => new Codec(protocol).encode(value as never)
  /** Returns a raw channel and its peer, a channel with a low message limit. */
  const limitedPair = (options = {}) => rawStreamPair({ protocol, maxMessage: 100_000, ...options })

  it('reports a frame truncated at any byte as CUT_SHORT with the missing bytes', async () => {
    const frame = encode('naïve text')
    for (let at = 1; at < frame.length; at++) {
      const [raw, channel] = limitedPair()
      raw.send(Buffer.concat([frame, frame.subarray(0, at)]))
      raw.end()
      expect(String((await channel.receive())?.value)).toBe('naïve text')
      const error = await channel.receive().catch(caught => caught)
      // Without finalLine the bytes after the last delimiter are not a message.
      expect(error).toEqual(errorWithCode('CUT_SHORT'))
      expect(error.missing).toBeGreaterThan(0)
      expect(error.missing).toBeLessThanOrEqual(frame.length - at)
      if (at > 12)
        expect(error.missing).toBe(protocol === 'uds_comms' ? error.missing : frame.length - at)
    }
  })

  it('never crashes on random bytes', async () => {
    const next = random(protocol.length)
    for (let round = 0; round < 40; round++) {
      const length = 1 + Math.floor(next() * 3_000)
      const bytes = Buffer.from(Array.from({ length }, () => next() * 256))
      const [raw, channel] = limitedPair()
      const events = eventsUntilClose(channel)
      raw.send(bytes)
      raw.end()
      expect((await events).at(-1)).toBe('close')
      raw.destroy()
    }
  })

  it('decodes a frame with a flipped bit the same way for every split of its bytes', () => {
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

  it("does not modify a codec's input, and keeps no reference to it", () => {
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

  it('delivers a frame at the limit and ends the stream at a larger one', async () => {
    const [raw, channel] = limitedPair({ maxMessage: 1_000 })
    const events = eventsUntilClose(channel)
    const large = protocol === 'uds_comms' ? 'x'.repeat(1_010) : 'x'.repeat(1_001)
    raw.send(Buffer.concat([encode('x'.repeat(1_000)), encode(large), encode('after')]))
    const seen = (await events).map(one => (String(one).length === 1_000 ? 1_000 : one))
    expect(seen).toEqual([1_000, 'ERR_FDWIRE_MESSAGE_TOO_LARGE', 'close'])
    expect(channel.stats.received).toBe(1)
  })

  it('rejects an endless frame at the limit', async () => {
    const [raw, channel] = limitedPair()
    const events = eventsUntilClose(channel)
    const whole = encode('x'.repeat(400_000))
    raw.on('error', () => {})
    for (let at = 0; at < whole.length - 10 && !channel.closed; at += 10_000) {
      if (raw.closed) break
      raw.send(whole.subarray(at, Math.min(at + 10_000, whole.length - 10)))
      await loopTurns(1)
    }
    expect(await events).toEqual(['ERR_FDWIRE_MESSAGE_TOO_LARGE', 'close'])
  })
})

const line = (text: string) => Buffer.from(text).toString('hex')

describe('an invalid header', () => {
  const headers: [string, string, string, string][] = [
    ['length_prefixed', 'announces 4 GiB', 'ffffffff', 'MESSAGE_TOO_LARGE'],
    ['length_prefixed', 'announces one byte above the limit', '00100001', 'MESSAGE_TOO_LARGE'],
    ['stockings', 'announces 2^63 bytes', `${'00'.repeat(9)}82`, 'MESSAGE_TOO_LARGE'],
    ['stockings', 'has 16 bytes of set bits', `${'7f'.repeat(15)}ff`, 'MESSAGE_TOO_LARGE'],
    ['stockings', 'has 17 bytes', '00'.repeat(17), 'BAD_HEADER'],
    [
      'msg_channel',
      'announces 10^10 - 1 bytes',
      line('\r\nMSG 9999999999\r\n'),
      'MESSAGE_TOO_LARGE',
    ],
    ['msg_channel', 'announces 2^63 bytes', line('\r\nMSG 9223372036854775808\r\n'), 'BAD_HEADER'],
    ['msg_channel', 'announces -1 bytes', line('\r\nMSG -1\r\n'), 'BAD_HEADER'],
    ['msg_channel', 'has no digits', line('\r\nMSG \r\n'), 'BAD_HEADER'],
    ['msg_channel', 'is an HTTP request line', line('GET / HTTP/1.1\r\n'), 'BAD_HEADER'],
  ]
  it.each(headers)('ends the stream: a header of %s that %s', async (protocol, _, header, code) => {
    const [raw, channel] = rawStreamPair({ protocol, maxMessage: MIB })
    const events = eventsUntilClose(channel)
    raw.send(Buffer.from(header, 'hex'))
    expect(await events).toEqual([`ERR_FDWIRE_${code}`, 'close'])
  })

  /** Returns a valid frame of 200 characters. */
  const validFrame = (protocol: 'stockings' | 'msg_channel' | 'uds_comms') =>
    new Codec(protocol).encode('x'.repeat(200))

  it.each(['stockings', 'msg_channel', 'uds_comms'] as const)(
    'ends the stream if it is sixteen equal bytes: %s',
    async protocol => {
      const first = validFrame(protocol)
      for (const byte of [0x00, 0x30, 0x39, 0x66, 0x7f, 0x80, 0xff]) {
        const [raw, channel] = rawStreamPair({ protocol, maxMessage: MIB })
        const events = eventsUntilClose(channel)
        raw.send(Buffer.concat([first, Buffer.alloc(16, byte)]))
        raw.end()
        const seen = await events
        expect(String(seen[0])).toBe('x'.repeat(200))
        expect(seen.at(-1)).toBe('close')
        expect(seen.length).toBeGreaterThan(2)
      }
    },
  )

  it.each(['stockings', 'msg_channel', 'uds_comms', 'lines'] as const)(
    'is buffered only up to a limit if it never ends: %s',
    async protocol => {
      for (const byte of [0x30, 0x39, 0x80, 0xff, 0x20]) {
        const [raw, channel] = rawStreamPair({ protocol, maxMessage: 10_000 })
        raw.on('error', () => {})
        const events = eventsUntilClose(channel)
        const piece = Buffer.alloc(4_000, byte)
        for (let sent = 0; sent < 50 && !channel.closed && !raw.closed; sent++) {
          raw.send(piece)
          await loopTurns(1)
          expect(channel.stats.inHand).toBeLessThan(30_000)
        }
        raw.destroy()
        expect((await events).at(-1)).toBe('close')
      }
    },
  )

  it('allocates no memory for the length that it announces', async () => {
    const headers = [
      ['length_prefixed', '3fffffff00'],
      ['stockings', '0000000084ff'],
      ['msg_channel', line('\r\nMSG 1000000000\r\nx')],
    ]
    for (const [protocol, bytes] of headers) {
      const peer = streamsPeer('announced-length', protocol, bytes)
      const { grown, inHand } = await peer.receive()
      expect(inHand).toBe(bytes?.length && bytes.length / 2)
      expect(grown).toBeLessThan(32)
      await peer.exited
    }
  })
})

describe('a peer of a stream channel', () => {
  it('that does not read fills the queue only up to maxQueued', async () => {
    const [, channel] = streamPair({ ...FRAMES, maxQueued: MIB })
    const fill = () => {
      for (;;) channel.send(patternBytes(50_000))
    }
    expect(fill).toThrow(errorWithCode('QUEUE_FULL'))
    expect(channel.stats.queuedBytes).toBeLessThanOrEqual(MIB + 60_000)
    expect(fill).toThrow(errorWithCode('QUEUE_FULL'))
    channel.destroy()
  })

  it('that keeps writing uses no memory of a channel that does not read', async () => {
    const listener = await startListener(null, FRAMES)
    const peer = streamsPeer('stops-reading', listener.address)
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

  it('that sends faster than the channel reads is slowed down and loses nothing', async () => {
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

  it('that sends one byte at a time does not delay other channels', async () => {
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

  it('that sends malformed messages causes events, and its other messages arrive', async () => {
    const [raw, channel] = rawStreamPair({ protocol: 'lines', encoding: 'json' })
    const events: unknown[] = []
    channel.on('malformed', error => events.push(error.code))
    channel.on('message', value => events.push(value))
    raw.send(Buffer.from('1\n{\n2\n\xff\n3\n\n4\n', 'latin1'))
    await waitUntil(() => events.includes(4))
    expect(events.filter(one => typeof one === 'number')).toEqual([1, 2, 3, 4])
    expect(events).toContain('ERR_FDWIRE_NOT_JSON')
    expect(events).toContain('ERR_FDWIRE_NOT_UTF8')
    expect(channel.stats).toMatchObject({ received: 4, malformed: 3 })
    raw.end()
    await once(channel, 'close')
  })
})

describe('Codec', () => {
  it('returns all messages before a fatal error, then throws it from every call', () => {
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

  it('throws the number of missing bytes from end within a message, and CLOSED from push after end', () => {
    const frame = new Codec('length_prefixed').encode(patternBytes(100))
    const cut = new Codec('length_prefixed')
    expect(cut.push(frame.subarray(0, -7))).toEqual([])
    expect(() => cut.end()).toThrow(expect.objectContaining({ missing: 7 }))
    const good = new Codec('length_prefixed')
    expect(good.push(frame)).toHaveLength(1)
    expect(good.end()).toEqual([])
    expect(() => good.push(frame)).toThrow(errorWithCode('CLOSED'))
  })

  it('returns the bytes after the last delimiter as a message with finalLine, as a channel does', async () => {
    const codec = new Codec('lines', { finalLine: true })
    expect(codec.push(Buffer.from('one\ntwo'))).toEqual(['one'])
    expect(codec.end()).toEqual(['two'])
    const [raw, channel] = rawStreamPair({ protocol: 'lines', finalLine: true })
    raw.send('one\ntwo')
    raw.end()
    expect(await receiveUpTo(channel, 3)).toEqual(['one', 'two'])
  })
})
