import { closeSync, openSync } from 'node:fs'
import { type Channel, Codec, type FdSet } from 'fdwire'
import { describe, expect, it } from 'vitest'
import {
  countOpen,
  destroyChannelsAfterEach,
  errorWithCode,
  loopTurns,
  withFd,
} from '../support/channels.js'
import {
  FRAMES,
  patternBytes,
  RAW_STREAM,
  recordEvents,
  runCleanupsAfterEach,
  streamPair,
  tcpPair,
  waitUntil,
  whenClosed,
} from '../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()

const MIB = 1024 * 1024
const WITH_FDS = { ...FRAMES, maxFds: 8 }

/** Receives messages, closes their descriptors and returns each one's length and their number. */
async function receiveCounts(channel: Channel, count: number): Promise<[number, number][]> {
  const got: [number, number][] = []
  while (got.length < count) {
    const message = await channel.receive()
    if (message === null) break
    got.push([(message.value as Buffer).length, message.fds.length])
    message.fds.close()
  }
  return got
}

describe('descriptors on a stream', () => {
  it('arrive with their message, between messages of every size', async () => {
    const [a, b] = streamPair(WITH_FDS)
    const sizes = [10, 0, 100_000, 5, 40_000, 1, MIB, 3, 200_000, 70_000]
    const expected: [number, number][] = []
    await withFd(fd => {
      for (let i = 0; i < 60; i++) {
        const size = sizes[i % sizes.length] as number
        const count = (i * 7) % 4
        a.send(patternBytes(size), count === 0 ? undefined : { fds: Array(count).fill(fd) })
        expected.push([size, count])
      }
    }, '/dev/full')
    expect(await receiveCounts(b, 60)).toEqual(expected)
    expect(countOpen('/dev/full')).toBe(0)
    expect(b.stats).toMatchObject({ received: 60, openFds: 0 })
    expect(a.stats).toMatchObject({ sent: 60, queuedFds: 0 })
  })

  it('arrive in order if the receiver starts late', async () => {
    const [a, b] = streamPair(WITH_FDS)
    await withFd(fd => {
      for (let i = 0; i < 300; i++) a.send(`${i}`, i % 3 === 0 ? { fds: [fd] } : undefined)
    }, '/dev/full')
    await loopTurns(3)
    for (let i = 0; i < 300; i++) {
      const { value, fds } = (await b.receive()) as { value: Buffer; fds: FdSet }
      expect([String(value), fds.length]).toEqual([`${i}`, i % 3 === 0 ? 1 : 0])
      fds.close()
    }
    expect(countOpen('/dev/full')).toBe(0)
  })

  it('are closed with a malformed event if they exceed maxFds, and the next message arrives', async () => {
    for (const maxFds of [0, 1]) {
      const [a, b] = streamPair(WITH_FDS, { maxFds })
      const events: unknown[] = []
      await withFd(async fd => {
        a.send('two', { fds: [fd, fd] })
        a.send('none')
        // With maxFds: 0 the kernel refuses descriptors from the first read on.
        await a.flush()
        b.on('malformed', error => events.push(error.code))
        b.on('message', (value, fds) => {
          events.push(String(value))
          fds.close()
        })
        await waitUntil(() => events.length === 2)
      }, '/dev/full')
      expect(events).toEqual(['ERR_FDWIRE_TOO_MANY_FDS', 'none'])
      expect(countOpen('/dev/full')).toBe(0)
    }
  })

  it('are closed wherever they arrive if maxFds is 0', async () => {
    const [raw, b] = streamPair({ ...RAW_STREAM, maxFds: 8 }, { ...FRAMES, maxFds: 0 })
    // The raw peer sends them in the middle of a frame.
    const frame = new Codec('length_prefixed').encode(patternBytes(1_000))
    const events: unknown[] = []
    await withFd(fd => {
      raw.send(frame.subarray(0, 500), { fds: [fd, fd] })
      raw.send(frame.subarray(500))
      raw.send(frame)
      return raw.flush()
    }, '/dev/full')
    // The kernel refuses descriptors from the first read on.
    b.on('malformed', error => events.push(error.code))
    b.on('message', value => events.push((value as Buffer).length))
    await waitUntil(() => events.length === 2)
    expect(events).toEqual(['ERR_FDWIRE_TOO_MANY_FDS', 1_000])
    expect(countOpen('/dev/full')).toBe(0)
  })

  it('are closed with the channel if their message is incomplete', async () => {
    for (const end of ['end', 'destroy'] as const) {
      const [raw, b] = streamPair({ ...RAW_STREAM, maxFds: 8 }, WITH_FDS)
      const events = recordEvents(b)
      const frame = new Codec('length_prefixed').encode(patternBytes(300_000))
      await withFd(fd => {
        raw.send(frame.subarray(0, 100_000), { fds: [fd, fd] })
      }, '/dev/full')
      await waitUntil(() => b.stats.inHand === 100_000)
      expect(countOpen('/dev/full')).toBe(2)
      if (end === 'end') raw.end()
      else b.destroy()
      await whenClosed(b)
      expect(events).toEqual(end === 'end' ? ['ERR_FDWIRE_CUT_SHORT', 'close'] : ['close'])
      expect(countOpen('/dev/full')).toBe(0)
    }
  })

  it('are duplicated when they are queued, and closed when the queue is dropped', async () => {
    const [a] = streamPair(WITH_FDS)
    a.send(patternBytes(MIB))
    await withFd(fd => {
      for (let i = 0; i < 5; i++) a.send('x', { fds: [fd, fd] })
    }, '/dev/full')
    expect([countOpen('/dev/full'), a.stats.queuedFds]).toEqual([10, 10])
    a.destroy()
    expect(countOpen('/dev/full')).toBe(0)
  })

  it('are limited by maxQueuedFds, and a rejected message sends nothing', async () => {
    const [a, b] = streamPair({ ...WITH_FDS, maxQueuedFds: 3 })
    a.send(patternBytes(MIB))
    await withFd(fd => {
      a.send('two', { fds: [fd, fd] })
      expect(() => a.send('four', { fds: [fd, fd] })).toThrow(errorWithCode('QUEUE_FULL'))
      a.send('one', { fds: [fd] })
    }, '/dev/full')
    expect(await receiveCounts(b, 3)).toEqual([
      [MIB, 0],
      [3, 2],
      [3, 1],
    ])
  })

  it('make send throw if they are invalid or too many, and the stream stays usable', async () => {
    const [a, b] = streamPair(WITH_FDS)
    const closed = openSync('/dev/null', 'r')
    closeSync(closed)
    expect(() => a.send('x', { fds: [closed] })).toThrow(errorWithCode('EBADF'))
    expect(() => a.send('x', { fds: Array(9).fill(0) })).toThrow(errorWithCode('TOO_MANY_FDS'))
    a.send('fine')
    expect(await receiveCounts(b, 1)).toEqual([[4, 0]])
    expect(a.stats.sent).toBe(1)
  })

  it('pause the reader at maxOpenFds until some are closed', async () => {
    const [a, b] = streamPair(WITH_FDS, { maxOpenFds: 4 })
    const sets: FdSet[] = []
    b.on('message', (_, fds) => void sets.push(fds))
    await withFd(fd => {
      for (let i = 0; i < 20; i++) a.send('x', { fds: [fd] })
    }, '/dev/full')
    await waitUntil(() => sets.length >= 4)
    await loopTurns(5)
    expect(sets.length).toBeLessThan(12)
    while (sets.length < 20) {
      for (const set of sets) set.close()
      await loopTurns(1)
    }
    for (const set of sets) set.close()
    expect(countOpen('/dev/full')).toBe(0)
  })

  it('cannot be sent over TCP', async () => {
    const [a] = await tcpPair(FRAMES)
    expect(() => a.send('x', { fds: [0] })).toThrow(errorWithCode('TOO_MANY_FDS'))
    await expect(tcpPair(WITH_FDS)).rejects.toThrow(/maxFds/)
  })
})
