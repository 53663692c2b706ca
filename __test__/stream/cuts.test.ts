import { fstatSync } from 'node:fs'
import fc from 'fast-check'
import { adopt, type Channel, type Message, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, loopTurns, track } from '../support/channels.js'
import { openFiles } from '../support/model/run.js'
import { expectSame, KINDS } from '../support/stream-values.js'
import { RAW_STREAM } from '../support/streams.js'

destroyChannelsAfterEach()

/** The number of random conversations for each protocol and encoding. */
const RUNS = Number(process.env.FDWIRE_CUT_RUNS ?? 5)

const MAX_FDS = 4

/** A long value is written as its length, so that a failure can be read. */
class Long {
  constructor(readonly length: number) {}
}

const long = (max: number) => fc.integer({ min: 100, max }).map(length => new Long(length))

/** Texts of each representation that V8 has, with what frames use as delimiters and escapes. */
const text = fc.oneof(
  fc.string({ unit: 'grapheme-ascii', maxLength: 60 }),
  fc.string({ unit: fc.constantFrom('é', '水', '😀', ':', '%', '$', '"', '\\'), maxLength: 30 }),
)

/** Returns values that a protocol can carry in an encoding. */
function valuesOf(protocol: string, encoding: string | undefined): fc.Arbitrary<unknown> {
  const needsBytes = protocol === 'uds_comms' || protocol === 'stockings'
  const isCarried = (value: string | Uint8Array) =>
    !(needsBytes && value.length === 0) && !(protocol === 'lines' && hasLineFeed(value))
  const texts = fc.oneof(text.filter(isCarried), long(70_000))
  const array = fc.uint8Array({ maxLength: 60 })
  const buffers = fc.oneof(array.map(Buffer.from).filter(isCarried), long(200_000))
  if (encoding === 'json') return fc.oneof(fc.jsonValue(), fc.record({ text }), long(70_000))
  if (encoding === 'text') return texts
  return encoding === 'buffer' ? buffers : fc.oneof(texts, array.map(Buffer.from).filter(isCarried))
}

/** Returns the value that is sent. */
function toSend(value: unknown, encoding: string | undefined): unknown {
  if (!(value instanceof Long)) return value
  const { length } = value
  return encoding === 'buffer' ? Buffer.alloc(length, 65) : '水x'.repeat(length).slice(0, length)
}

const hasLineFeed = (value: string | Uint8Array) =>
  typeof value === 'string' ? value.includes('\n') : value.includes(10)

/** A message with the indices of its files. */
interface Sent {
  value: unknown
  files: number[]
}

/** What passes between the ends: the bytes are cut into pieces of these sizes. */
interface Journey {
  cuts: number[]
  /** Every so many messages, the receiver pauses for a turn. */
  pause: number
}

const journey: fc.Arbitrary<Journey> = fc.record({
  cuts: fc.array(fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 60_000 })), {
    minLength: 1,
    maxLength: 8,
  }),
  pause: fc.integer({ min: 1, max: 9 }),
})

/** Connects two channels by a program that passes on bytes and descriptors in pieces. */
function connectThrough(options: object, { cuts }: Journey): [Channel, Channel] {
  const raw = { ...RAW_STREAM, maxFds: MAX_FDS, allowHalfOpen: true }
  const [a, proxyA] = pair(raw)
  const [b, proxyB] = pair(raw)
  let cut = 0
  const passOn = async (from: Channel<Buffer>, to: Channel<Buffer>) => {
    for await (const { value, fds } of from as AsyncIterable<Message<Buffer>>) {
      // A read ends with the bytes that were sent with its descriptors, and may begin with older ones.
      const last = fds.length > 0 ? value.length - 1 : value.length
      for (let at = 0; at < value.length; ) {
        const length = Math.min(cuts[cut++ % cuts.length] as number, last - at) || 1
        to.send(value.subarray(at, at + length), at === last ? { fds } : undefined)
        await to.flush()
        if (cut % 16 === 0) await loopTurns(1)
        at += length
      }
      fds.close()
    }
    to.end()
  }
  // If a test fails, its channels are destroyed.
  passOn(track(proxyA), track(proxyB)).catch(() => {})
  passOn(proxyB, proxyA).catch(() => {})
  const as = (end: Channel<Buffer>) => track(adopt(end.detach(), options as never) as Channel)
  return [as(a), as(b)]
}

/** Sends the messages, and ends. */
async function sendAll(channel: Channel, messages: Sent[], fds: readonly number[]): Promise<void> {
  for (const { value, files } of messages) {
    const sent = files.map(file => fds[file] as number)
    if (!channel.send(value as never, { fds: sent })) await channel.flush()
  }
  channel.end()
}

/** Receives until the end: each value with the ids of its files. */
async function receiveAll(channel: Channel, { pause }: Journey) {
  const values: unknown[] = []
  const ids: number[][] = []
  for await (const { value, fds } of channel as AsyncIterable<Message>) {
    values.push(value)
    ids.push([...fds].map(fd => fstatSync(fd).rdev))
    fds.close()
    if (values.length % pause === 0) await loopTurns(1)
  }
  return { values, ids }
}

describe('messages in both directions, with descriptors, that a program in between cuts anywhere', () => {
  it.each(KINDS)('arrive as sent: %s', async (_, protocol, encoding) => {
    const files = openFiles()
    const message = fc.record({
      value: valuesOf(protocol, encoding),
      files: fc.array(fc.nat(files.fds.length - 1), { maxLength: MAX_FDS }),
    })
    const messages = fc.array(message, { maxLength: 30 })
    const property = fc.asyncProperty(messages, messages, journey, async (specB, specA, way) => {
      const valued = (specs: Sent[]) =>
        specs.map(({ value, files }) => ({ value: toSend(value, encoding), files }))
      const [toB, toA] = [valued(specB), valued(specA)]
      const options = { protocol, ...(encoding && { encoding }), maxFds: MAX_FDS }
      const [a, b] = connectThrough({ ...options, allowHalfOpen: true }, way)
      const [gotByB, gotByA] = await Promise.all([
        receiveAll(b, way),
        receiveAll(a, way),
        sendAll(a, toB, files.fds),
        sendAll(b, toA, files.fds),
      ])
      for (const [got, sent] of [
        [gotByB, toB],
        [gotByA, toA],
      ] as const) {
        expectSame(
          got.values,
          sent.map(({ value }) => value),
        )
        expect(got.ids).toEqual(sent.map(one => one.files.map(file => files.ids[file])))
      }
    })
    try {
      await fc.assert(property, { numRuns: RUNS, endOnFailure: true })
    } finally {
      files.close()
    }
  })
})
