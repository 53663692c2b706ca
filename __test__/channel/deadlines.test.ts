import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import { Duplex, PassThrough } from 'node:stream'
import { setInterval } from 'node:timers/promises'
import { adopt, type Channel, connect, over, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { coreOf as coreOfBuilt } from '../../dist/lib/channel/channel.js'
import type { coreOf as CoreOf } from '../../lib/channel/channel.js'
import { checkOptions } from '../../lib/options/check.js'
import { channelPair, destroyChannelsAfterEach, errorWithCode, track } from '../support/channels.js'
import {
  acceptNext,
  FRAMES,
  LINES,
  nodeSocketAndChannel,
  rawStreamPair,
  runCleanupsAfterEach,
  startListener,
  streamPair,
  tcpPair,
  waitUntil,
} from '../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()

// The package that the tests use is the built one.
const coreOf = coreOfBuilt as unknown as typeof CoreOf

const IDLE = errorWithCode('IDLE_TIMEOUT')
const LATE = errorWithCode('MESSAGE_TIMEOUT')
const SEQPACKET = { protocol: 'raw', type: 'seqpacket' } as const

/** The options of a peer without deadlines. */
const WITHOUT = { idleTimeout: 0 }

/** Returns a channel, and a function by which its peer sends a line. */
function requester([channel, peer]: readonly [Channel, Channel]): [Channel, () => unknown] {
  peer.on('error', () => {})
  return [channel, () => peer.send('a request')]
}

/** Resolves with the error of a channel that reads. */
async function failureOf(channel: Channel): Promise<Error> {
  channel.on('message', () => {})
  const [error] = await once(channel, 'error')
  return error
}

/** Waits for `time` (ms) on the clock that is tested: until a channel has been idle for so long. */
async function pass(time: number): Promise<void> {
  const [clock] = pair({ ...LINES, idleTimeout: time })
  await failureOf(track(clock))
}

const seqpacketChannel = (options: object) =>
  pair(options as typeof SEQPACKET).map(end => track(end))[0] as Channel

const duplexChannel = (options: object) => {
  const [from, to] = [new PassThrough(), new PassThrough()]
  return track(over(Duplex.from({ readable: from, writable: to }), options as never)) as Channel
}

/** Acts every 10 ms for `time` ms, or until `isOver`. Returns the longest gap (ms). */
async function steadily(time: number, act: () => void, isOver = () => false): Promise<number> {
  const began = performance.now()
  let [gap, last] = [0, began]
  for await (const _ of setInterval(10)) {
    const now = performance.now()
    gap = Math.max(gap, now - last)
    last = now
    if (isOver() || now - began > time) break
    act()
  }
  return gap
}

/** Repeats `attempt` until this process was not stalled for `most` ms: then nothing was sent. */
async function withoutStall<T>(
  most: number,
  attempt: () => Promise<{ gap: number; result: T }>,
): Promise<T> {
  for (let left = 12; left > 0; left--) {
    const { gap, result } = await attempt()
    if (gap < most) return result
  }
  throw new Error(`The process was always stalled for ${most} ms`)
}

describe('idleTimeout', () => {
  const KINDS: [string, (options: object) => Promise<Channel> | Channel][] = [
    ['a stream', options => streamPair({ ...LINES, ...options })[0]],
    ['a TCP connection', async options => (await tcpPair({ ...LINES, ...options }))[0]],
    ['a seqpacket socket', options => seqpacketChannel({ ...SEQPACKET, ...options })],
    ['a Duplex stream', options => duplexChannel({ ...LINES, ...options })],
  ]

  it.each(KINDS)('destroys %s on which no byte moves, and not earlier', async (_, open) => {
    const channel = await open({ idleTimeout: 60 })
    const began = performance.now()
    const error = await failureOf(channel)
    // The clock of JavaScript may be a part of a millisecond behind.
    expect(performance.now() - began).toBeGreaterThan(59)
    expect(error).toMatchObject({
      code: 'ERR_FDWIRE_IDLE_TIMEOUT',
      fault: 'peer',
      message: 'No byte moved in either direction for 60 ms (idleTimeout)',
    })
    expect(channel.closed).toBe(true)
  })

  it('applies to connections that a listener accepts, and ends their peers', async () => {
    const listener = await startListener('\0fdwire-test-idle', { ...LINES, idleTimeout: 30 })
    const client = track(await connect('\0fdwire-test-idle', LINES))
    const server = await acceptNext(listener)
    const [error, message] = await Promise.all([failureOf(server), client.receive()])
    expect([error, message]).toEqual([IDLE, null])
  })

  it('rejects the waiting calls', async () => {
    const [channel] = streamPair({ ...LINES, idleTimeout: 30 })
    await expect(channel.receive()).rejects.toEqual(IDLE)
    await expect(channel.receive()).rejects.toEqual(IDLE)
    const [other] = streamPair({ ...LINES, idleTimeout: 30 })
    await expect(other.request('anything')).rejects.toEqual(IDLE)
  })

  it.each([
    ['received', 1],
    ['sent', 0],
  ])('does not destroy a connection while bytes are %s', async (_, from) => {
    const watched = await withoutStall(200, async () => {
      const ends = streamPair({ ...LINES, idleTimeout: 400 }, { idleTimeout: 0 })
      for (const end of ends) end.on('message', () => {}).on('error', () => {})
      const gap = await steadily(1_200, () => ends[0].closed || ends[from]?.send('a line'))
      return { gap, result: ends[0] }
    })
    expect(watched.closed).toBe(false)
    await expect(once(watched, 'error')).resolves.toEqual([IDLE])
  })

  it('destroys a connection whose peer has stopped reading', async () => {
    const [channel] = streamPair({ ...FRAMES, idleTimeout: 50 })
    channel.on('message', () => {})
    channel.send(Buffer.alloc(4 * 1024 * 1024))
    await expect(once(channel, 'error')).resolves.toEqual([IDLE])
    expect(channel.stats.queuedBytes).toBeGreaterThan(0)
  })

  it('destroys a paused channel whose peer has stopped reading', async () => {
    const [channel] = streamPair({ ...FRAMES, idleTimeout: 50 })
    channel.on('message', () => {})
    channel.pause()
    channel.send(Buffer.alloc(4 * 1024 * 1024))
    await expect(once(channel, 'error')).resolves.toEqual([IDLE])
    expect(channel.stats.queuedBytes).toBeGreaterThan(0)
  })

  it('destroys a channel whose peer has ended and has stopped reading', async () => {
    const [channel, peer] = streamPair({ ...FRAMES, idleTimeout: 50, allowHalfOpen: true })
    channel.on('message', () => {})
    peer.end()
    await once(channel, 'end')
    channel.send(Buffer.alloc(4 * 1024 * 1024))
    await expect(once(channel, 'error')).resolves.toEqual([IDLE])
  })

  /** Each kind of connection, with a function by which the peer, which reads nothing, sends a line. */
  const SERVED: [string, (options: object) => Promise<[Channel, () => unknown]>][] = [
    ['a stream', async options => requester(streamPair({ ...LINES, ...options }, WITHOUT))],
    [
      'a TCP connection',
      async options => requester(await tcpPair({ ...LINES, ...options }, WITHOUT)),
    ],
    [
      'a seqpacket socket',
      async options => {
        const [a, b] = pair(SEQPACKET)
        return requester([track(adopt(a.detach(), { ...SEQPACKET, ...options })), track(b)])
      },
    ],
    [
      'a Duplex stream',
      async options => {
        const [from, to] = [new PassThrough(), new PassThrough()]
        const duplex = Duplex.from({ readable: from, writable: to })
        const channel = track(over(duplex, { ...LINES, ...options }))
        return [channel as Channel, () => from.write('a request\n')]
      },
    ],
  ]

  it.each(SERVED)('destroys %s that serves a peer which reads no reply', async (_, open) => {
    const [channel, request] = await open({ idleTimeout: 60 })
    const served = channel.serve(() => 'x'.repeat(50_000))
    const failure = expect(served).rejects.toEqual(IDLE)
    for (let requests = 0; requests < 400; requests++) request()
    await failure
    expect(channel.stats.queuedBytes).toBeGreaterThan(0)
  })

  it('stops while the channel has no consumer or is paused', async () => {
    const [unread] = streamPair({ ...LINES, idleTimeout: 20 })
    const [paused] = streamPair({ ...LINES, idleTimeout: 20 })
    paused.on('message', () => {})
    paused.pause()
    await pass(150)
    expect([unread.closed, paused.closed]).toEqual([false, false])
    paused.resume()
    await expect(once(paused, 'error')).resolves.toEqual([IDLE])
    expect(await failureOf(unread)).toEqual(IDLE)
  })

  it('stops while the channel holds maxOpenFds descriptors', async () => {
    const [channel, peer] = channelPair({ type: 'seqpacket', idleTimeout: 30, maxOpenFds: 1 })
    const fd = openSync('/dev/null', 'r')
    peer.send('a descriptor', { fds: [fd] })
    const message = await channel.receive()
    const failure = failureOf(channel)
    await pass(150)
    expect(channel.closed).toBe(false)
    message?.fds.close()
    expect(await failure).toEqual(IDLE)
    closeSync(fd)
  })

  it('stops while the program works on messages', async () => {
    const [channel] = streamPair({ ...LINES, idleTimeout: 20 })
    const failure = failureOf(channel)
    coreOf(channel).setBusy(true)
    await pass(150)
    expect(channel.closed).toBe(false)
    coreOf(channel).setBusy(false)
    expect(await failure).toEqual(IDLE)
  })

  it('stops while a handler of serve runs', async () => {
    const [channel, peer] = streamPair({ ...LINES, idleTimeout: 20 }, { idleTimeout: 0 })
    let reply: ((text: string) => void) | undefined
    const served = channel.serve(() => new Promise<string>(resolve => (reply = resolve)))
    const request = peer.request('slow')
    await waitUntil(() => reply !== undefined)
    await pass(150)
    expect(channel.closed).toBe(false)
    reply?.('done')
    expect((await request).value).toBe('done')
    await expect(served).rejects.toEqual(IDLE)
  })

  it('stops when the peer has ended and only we send', async () => {
    const [channel, peer] = streamPair({ ...LINES, idleTimeout: 20, allowHalfOpen: true })
    channel.on('message', () => {})
    peer.end()
    await once(channel, 'end')
    await pass(150)
    expect(channel.closed).toBe(false)
  })

  it('is 0 by default, which sets no timer', async () => {
    const [channel] = streamPair(LINES)
    channel.on('message', () => {})
    await pass(50)
    expect(channel.closed).toBe(false)
  })
})

describe('messageTimeout', () => {
  it('destroys a stream on which a message does not end in time', async () => {
    const [raw, channel] = rawStreamPair({ ...FRAMES, messageTimeout: 60 })
    const failure = failureOf(channel)
    await pass(120)
    expect(channel.closed).toBe(false)
    const began = performance.now()
    raw.send(Buffer.from([0, 0, 0, 9, 1]))
    expect(await failure).toMatchObject({
      code: 'ERR_FDWIRE_MESSAGE_TIMEOUT',
      fault: 'peer',
      message: 'A message did not end within 60 ms of its start (messageTimeout)',
    })
    expect(performance.now() - began).toBeGreaterThan(59)
  })

  it('is the time of the whole message, however often a byte of it arrives', async () => {
    const channel = await withoutStall(100, async () => {
      const [raw, channel] = rawStreamPair({ ...FRAMES, messageTimeout: 200, idleTimeout: 10_000 })
      const failure = failureOf(channel)
      raw.on('error', () => {})
      raw.send(Buffer.from([0, 0, 255, 255]))
      const gap = await steadily(
        20_000,
        () => raw.send(Buffer.from([1])),
        () => channel.closed,
      )
      expect(await failure).toEqual(LATE)
      return { gap, result: channel }
    })
    expect(channel.stats.inHand).toBeGreaterThan(4)
  })

  it('applies to a message in its own allocation and to one over a Duplex stream', async () => {
    const [raw, large] = rawStreamPair({ ...FRAMES, messageTimeout: 30 })
    raw.send(Buffer.from([0, 8, 0, 0, 1, 2, 3]))
    expect(await failureOf(large)).toEqual(LATE)
    const input = new PassThrough()
    const duplex = Duplex.from({ readable: input, writable: new PassThrough() })
    const channel = track(over(duplex, { ...FRAMES, messageTimeout: 30 })) as Channel
    input.write(Buffer.from([0, 0, 0, 3]))
    expect(await failureOf(channel)).toEqual(LATE)
  })

  it('starts anew with each message', async () => {
    const channel = await withoutStall(200, async () => {
      const [socket, channel] = await nodeSocketAndChannel({ ...LINES, messageTimeout: 400 })
      channel.on('message', () => {}).on('error', () => {})
      // Some message is always incomplete.
      const gap = await steadily(1_200, () => socket.write('end of one\nstart of the next'))
      return { gap, result: channel }
    })
    expect(channel.stats.received).toBeGreaterThan(0)
    expect(channel.closed).toBe(false)
  })

  it('delivers the messages before the late one', async () => {
    const [raw, channel] = rawStreamPair({ ...LINES, messageTimeout: 30 })
    raw.send(Buffer.from('first\nsecond\nthi'))
    const values: unknown[] = []
    await expect(async () => {
      for await (const { value } of channel) values.push(value)
    }).rejects.toEqual(LATE)
    expect(values).toEqual(['first', 'second'])
  })

  it('stops while the channel does not read', async () => {
    const [raw, channel] = rawStreamPair({ ...LINES, messageTimeout: 20 })
    raw.send(Buffer.from('a part'))
    channel.on('message', () => {})
    await waitUntil(() => channel.stats.inHand > 0)
    channel.pause()
    await pass(150)
    expect(channel.closed).toBe(false)
    channel.resume()
    await expect(once(channel, 'error')).resolves.toEqual([LATE])
  })
})

describe('a deadline', () => {
  it('is refused where there is no connection or no part of a message', () => {
    const dgram = 'and this is a datagram socket'
    const DGRAM = { protocol: 'jsoncomm' }
    for (const name of ['idleTimeout', 'messageTimeout']) {
      for (const opener of ['bind', 'connect', 'pair', 'adopt'] as const) {
        expect(() => checkOptions(opener, { ...DGRAM, [name]: 1 }, '/x')).toThrow(dgram)
      }
      expect(() => checkOptions('Codec', { ...LINES, [name]: 1 })).toThrow('it is an option of')
      for (const opener of ['connect', 'listen', 'pair', 'adopt', 'over'] as const) {
        expect(checkOptions(opener, { ...LINES, [name]: 7 })).toMatchObject({ [name]: 7 })
        expect(() => checkOptions(opener, { ...LINES, [name]: -1 })).toThrow(RangeError)
      }
    }
    expect(checkOptions('pair', { ...SEQPACKET, idleTimeout: 7 }).idleTimeout).toBe(7)
    expect(() => checkOptions('pair', { ...SEQPACKET, messageTimeout: 7 })).toThrow(
      'pair has no option messageTimeout: it is for stream sockets, and this is a seqpacket socket',
    )
  })
})
