import { once } from 'node:events'
import { bind, type Channel, connect } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { checkOptions } from '../../lib/options/check.js'
import {
  boundChannel,
  destroyChannelsAfterEach,
  errorWithCode,
  JSONCOMM,
  loopTurns,
  RAW_DGRAM,
  track,
} from '../support/channels.js'
import { abstractName, LINES, streamPair } from '../support/streams.js'

destroyChannelsAfterEach()

const MIB = 1024 * 1024
const EMPTY = Buffer.alloc(0)

/** Returns a bound channel that never reads. */
const stopped = async () => track(await bind(abstractName(), RAW_DGRAM))

/** Sends until `send` throws, and returns the error. */
function fill(channel: Channel<Buffer>, message: Buffer, to: string): Error {
  try {
    for (;;) channel.send(message, { to })
  } catch (error) {
    return error as Error
  }
}

/** Returns how many bytes of memory an action takes that are still held. */
async function memoryOf(act: () => unknown): Promise<number> {
  gc?.()
  const before = process.memoryUsage.rss()
  await act()
  gc?.()
  return process.memoryUsage.rss() - before
}

describe('maxQueued', () => {
  it.each([0, 1])('limits the memory of datagrams of %i bytes', async length => {
    const to = (await stopped()).localAddress as string
    const sender = track(await bind(abstractName(), { ...RAW_DGRAM, maxQueued: 32 * MIB }))
    const message = Buffer.alloc(length)
    const taken = await memoryOf(() => {
      expect(fill(sender, message, to)).toEqual(errorWithCode('QUEUE_FULL'))
    })
    expect(sender.stats.queued).toBe(Math.floor((32 * MIB) / (128 + length)))
    expect(taken).toBeLessThan(64 * MIB)
  })
})

describe('maxQueuedTotal', () => {
  it('limits the memory of all queues together, however short the messages are', async () => {
    const sender = track(await bind(abstractName(), { ...RAW_DGRAM, maxQueuedTotal: 16 * MIB }))
    const names: string[] = []
    for (let i = 0; i < 20; i++) names.push((await stopped()).localAddress as string)
    let undelivered = 0
    sender.on('undelivered', () => undelivered++)
    const count = 500_000
    const taken = await memoryOf(async () => {
      for (let i = 0; i < count; i++) {
        sender.send(EMPTY, { to: names[i % names.length] as string })
        if (i % 1_000 === 0) await new Promise(setImmediate)
      }
    })
    const { queued, sent } = sender.stats
    expect(sent).toBe(count)
    expect(queued).toBeLessThanOrEqual((16 * MIB) / 128)
    expect(queued).toBeGreaterThan((12 * MIB) / 128)
    expect(taken).toBeLessThan(64 * MIB)
    expect(undelivered).toBeGreaterThan(count / 2)
  }, 120_000)

  it('takes the oldest messages of the longest queue and reports each', async () => {
    const [long, short] = [await stopped(), await stopped()].map(
      ({ localAddress }) => localAddress as string,
    ) as [string, string]
    const sender = track(await bind(abstractName(), { ...RAW_DGRAM, maxQueuedTotal: 100_000 }))
    while (sender.send(Buffer.alloc(20_000), { to: long }));
    for (let i = 0; i < 3; i++) sender.send(Buffer.alloc(20_000), { to: long })
    const reports: unknown[] = []
    sender.on('undelivered', (error, { to }) => reports.push([error, to]))
    const drained: unknown[] = []
    sender.on('drain', to => drained.push(to))
    while (sender.send(Buffer.alloc(30_000), { to: short }));
    await once(sender, 'undelivered')
    expect(reports).toEqual([
      [expect.objectContaining({ code: 'ERR_FDWIRE_UNDELIVERED', fault: 'caller' }), long],
    ])
    expect((reports[0] as [Error])[0].message).toContain('maxQueuedTotal')
    expect(sender.stats).toMatchObject({ undelivered: 1, queued: 4, queuedBytes: 90_000 })
    expect(drained).toEqual([])
  })

  it('rejects a request and a flush whose message is lost', async () => {
    const [long, short] = [await boundChannel(), await boundChannel()]
    const sender = await boundChannel({ maxQueuedTotal: 12_000 })
    const to = long.localAddress as string
    while (sender.send('x', { to }));
    const request = sender.request('y'.repeat(3_000), { to })
    const rejected = expect(request).rejects.toEqual(errorWithCode('UNDELIVERED'))
    const flushed = expect(sender.flush()).rejects.toEqual(errorWithCode('UNDELIVERED'))
    while (sender.send('z'.repeat(9_000), { to: short.localAddress as string }));
    await Promise.all([rejected, flushed])
  })

  it('lets a destination with an empty queue always queue a message of 64 KiB', async () => {
    const sender = track(await bind(abstractName(), { ...RAW_DGRAM, maxQueuedTotal: 1 }))
    sender.on('undelivered', () => {})
    for (let i = 0; i < 10; i++) {
      const to = (await stopped()).localAddress as string
      while (sender.send(Buffer.alloc(65_536), { to }));
    }
    expect(sender.stats.queued).toBeGreaterThan(0)
  })

  it('refuses a message if the program sends without returning to the event loop', async () => {
    const to = (await stopped()).localAddress as string
    const sender = track(await bind(abstractName(), { ...RAW_DGRAM, maxQueuedTotal: 1 * MIB }))
    const taken = await memoryOf(() => {
      expect(fill(sender, Buffer.alloc(1), to)).toEqual(errorWithCode('QUEUE_FULL'))
    })
    expect(taken).toBeLessThan(16 * MIB)
    await once(sender, 'undelivered')
    sender.send(Buffer.alloc(1), { to })
  })

  it('is an option of datagram sockets alone', async () => {
    for (const opener of ['bind', 'connect', 'pair', 'adopt'] as const) {
      expect(checkOptions(opener, JSONCOMM, '/x').maxQueuedTotal).toBe(64 * MIB)
      expect(() => checkOptions(opener, { ...JSONCOMM, maxQueuedTotal: 0 }, '/x')).toThrow(
        RangeError,
      )
    }
    for (const type of ['stream', 'seqpacket']) {
      const options = { protocol: 'raw', type, maxQueuedTotal: 1 }
      expect(() => checkOptions('pair', options)).toThrow('it is for datagram sockets')
    }
    const receiver = await boundChannel()
    const to = receiver.localAddress as string
    const sender = track(await connect(to, { ...JSONCOMM, maxQueuedTotal: 1_000 }))
    sender.send('works')
    expect(await receiver.receive()).toMatchObject({ value: 'works' })
  })
})

describe('messages that are kept while a request waits', () => {
  it('count more than their bytes: a flood of short ones stops the reading', async () => {
    const [receiver, flooder] = streamPair(LINES)
    receiver.request('never', { match: () => false }).catch(() => {})
    const texts = Array.from({ length: 10_000 }, () => 'x')
    // Reading has stopped when messages are queued and none arrives.
    for (let before = -1; receiver.stats.received > before || flooder.stats.queued === 0; ) {
      before = receiver.stats.received
      flooder.sendAll(texts)
      await loopTurns(20)
    }
    const { unread } = receiver.stats
    expect(unread).toBeGreaterThan((32 * MIB) / 66)
    expect(unread).toBeLessThan((32 * MIB) / 64 + 10_000)
  }, 120_000)
})
