import { join } from 'node:path'
import { type Channel, Codec, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, loopTurns, track } from '../support/channels.js'
import { cleanUpAfterEach, temporaryDirectory } from '../support/processes.js'
import { BYTES, expectSame, KINDS, valuesFor } from '../support/stream-values.js'
import {
  abstractName,
  connectedPair,
  FRAMES,
  patternBytes,
  RAW_STREAM,
  rawStreamPair,
  receiveUpTo,
  runCleanupsAfterEach,
  tcpPair,
} from '../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()
cleanUpAfterEach()

const MIB = 1024 * 1024

const CONNECTIONS: Record<string, (options: object) => Promise<readonly [Channel, Channel]>> = {
  'a pair': async options => pair(options as never).map(track) as [Channel, Channel],
  'a path': options => connectedPair(join(temporaryDirectory(), 'socket'), options),
  'an abstract name': options => connectedPair(abstractName(), options),
  'TCP with IPv4': options => tcpPair(options),
  'TCP with IPv6': options => connectedPair({ host: '::1', port: 0 }, options),
  'TCP with a host name': options => connectedPair({ host: 'localhost', port: 0 }, options),
}

describe('values of every size', () => {
  describe.each(KINDS)('in %s', (_, protocol, encoding) => {
    const sent = valuesFor(protocol, encoding)
    it.each(Object.keys(CONNECTIONS))(
      'arrive unchanged and in order in both directions over %s',
      async connection => {
        const [a, b] = await (CONNECTIONS[connection] as (typeof CONNECTIONS)[string])({
          protocol,
          ...(encoding && { encoding }),
          ...(connection === 'a pair' && { type: 'stream' }),
        })
        for (const value of sent) a.send(value)
        b.sendAll(sent as never)
        const [gotByB, gotByA] = await Promise.all([
          receiveUpTo(b, sent.length),
          receiveUpTo(a, sent.length),
        ])
        expectSame(gotByB, sent)
        expectSame(gotByA, sent)
        expect(a.stats).toMatchObject({ sent: sent.length, received: sent.length, queuedBytes: 0 })
        expect(a.stats).toMatchObject({ noise: 0, inHand: 0, unread: 0, malformed: 0 })
      },
    )
  })

  it('arrive as the same bytes in raw', async () => {
    const [a, b] = await tcpPair(RAW_STREAM)
    const sent = BYTES.filter(bytes => bytes.length > 0)
    for (const bytes of sent) a.send(bytes)
    a.end()
    const chunks: Buffer[] = []
    for await (const { value } of b) chunks.push(value as Buffer)
    expect(Buffer.concat(chunks).equals(Buffer.concat(sent))).toBe(true)
  })
})

describe('a stream that arrives in pieces', () => {
  it.each(KINDS)('is decoded byte by byte: %s', async (_, protocol, encoding) => {
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

  it.each(KINDS)(
    'is decoded for every split of two messages: %s',
    async (_, protocol, encoding) => {
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
    },
  )

  it('is decoded without quadratic work if a large message arrives in small pieces', async () => {
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
