import { once } from 'node:events'
import { closeSync } from 'node:fs'
import { join } from 'node:path'
import { type Channel, Codec, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode, loopTurns, track } from '../support/channels.js'
import { cleanUpAfterEach, Peer, temporaryDirectory, testPath } from '../support/processes.js'
import {
  acceptNext,
  connectedPair,
  FRAMES,
  LINES,
  nodeSocketAndChannel,
  patternBytes,
  RAW_STREAM,
  receiveAll,
  receiveUpTo,
  recordEvents,
  runCleanupsAfterEach,
  startListener,
  streamPair,
  tcpPair,
  waitUntil,
  whenClosed,
} from '../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()
cleanUpAfterEach()

const MIB = 1024 * 1024
const child = (name: string, ...args: unknown[]) =>
  new Peer(process.execPath, [
    testPath('support/children/streams.mjs'),
    name,
    ...args.map(arg => JSON.stringify(arg)),
  ])
const WAYS: [string, (o: object, m?: object) => Promise<readonly [Channel, Channel]>][] = [
  ['a pair', async (options, more) => streamPair(options, more)],
  [
    'a path',
    async (options, more) => connectedPair(join(temporaryDirectory(), 's'), options, more),
  ],
  ['TCP', async (options, more) => tcpPair(options, more)],
]

describe.each(WAYS)('the end, over %s', (_, connected) => {
  it('comes behind all messages, and close behind it', async () => {
    const [a, b] = await connected(LINES)
    const told = recordEvents(b)
    for (let i = 0; i < 1_000; i++) a.send(`${i}`)
    await a.close()
    await whenClosed(b)
    expect(told).toEqual([...Array(1_000).keys()].map(String).concat('end', 'close'))
  })

  it('waits behind messages that nobody has taken', async () => {
    const [a, b] = await connected(LINES)
    const told = recordEvents(b, false)
    for (let i = 0; i < 5; i++) a.send(`${i}`)
    a.end()
    await loopTurns(5)
    expect(told).toEqual([])
    for (let i = 0; i < 5; i++) {
      expect((await b.receive())?.value).toBe(`${i}`)
      if (i < 4) expect(told).toEqual([])
    }
    expect(await b.receive()).toBe(null)
    await whenClosed(b)
    expect(told).toEqual(['end', 'close'])
    for (let i = 0; i < 3; i++) expect(await b.receive()).toBe(null)
    expect(await receiveAll(b)).toEqual([])
    expect(() => b.send('late')).toThrow(errorWithCode('CLOSED'))
  })

  it('waits while the channel is paused', async () => {
    const [a, b] = await connected(LINES)
    const told = recordEvents(b)
    b.pause()
    a.send('one')
    a.end()
    await loopTurns(10)
    expect(told).toEqual([])
    b.resume()
    await whenClosed(b)
    expect(told).toEqual(['one', 'end', 'close'])
  })

  it('ends an iteration, and all receives that wait', async () => {
    const [a, b] = await connected(LINES)
    const [c, d] = await connected(LINES)
    a.sendAll(['1', '2'] as never)
    a.end()
    expect(await receiveAll(b)).toEqual(['1', '2'])
    const waiting = [d.receive(), d.receive(), d.receive()]
    c.send('one')
    c.end()
    const got = await Promise.all(waiting)
    expect(got.map(one => one?.value)).toEqual(['one', undefined, undefined])
  })

  it('rejects requests that wait', async () => {
    const [a, b] = await connected(LINES)
    const request = expect(b.request('?')).rejects.toEqual(errorWithCode('CLOSED'))
    a.end()
    await request
  })

  it('of our side lets the peer answer', async () => {
    const [a, b] = await connected(LINES, { allowHalfOpen: true })
    a.send('question')
    a.end()
    expect(() => a.send('more')).toThrow(errorWithCode('CLOSED'))
    expect(await receiveAll(b)).toEqual(['question'])
    expect([b.closed, a.closed]).toEqual([false, false])
    b.send('answer')
    await b.flush()
    b.end()
    expect(await receiveAll(a)).toEqual(['answer'])
    await Promise.all([whenClosed(a), whenClosed(b)])
  })

  it('without allowHalfOpen what is queued still goes out', async () => {
    const [a, b] = await connected(FRAMES)
    const told = recordEvents(b)
    const values = Array.from({ length: 20 }, (_, i) => patternBytes(200_000 + i))
    for (const value of values) b.send(value)
    a.end()
    await waitUntil(() => told.includes('end'))
    expect(told).toEqual(['end'])
    const got = (await receiveAll(a)) as Buffer[]
    expect(got.map(one => one.length)).toEqual(values.map(one => one.length))
    await whenClosed(b)
    expect(told).toEqual(['end', 'close'])
  })

  it('twice from both sides at once is one end for each', async () => {
    const [a, b] = await connected(LINES)
    const [x, y] = [recordEvents(a), recordEvents(b)]
    a.end().end()
    b.end().end()
    await Promise.all([whenClosed(a), whenClosed(b)])
    expect([x, y]).toEqual([
      ['end', 'close'],
      ['end', 'close'],
    ])
  })

  it('in the middle of a message is an error that says what is missing', async () => {
    const [a, b] = await connected(RAW_STREAM)
    const frame = new Codec('length_prefixed').encode(patternBytes(1_000))
    const fd = b.detach()
    const channel = track((await import('fdwire')).adopt(fd, FRAMES))
    const told = recordEvents(channel, false)
    a.send(Buffer.concat([frame, frame.subarray(0, 904)]))
    a.end()
    const iterated = receiveAll(channel as Channel)
    await expect(iterated).rejects.toMatchObject({ code: 'ERR_FDWIRE_CUT_SHORT', missing: 100 })
    await whenClosed(channel as Channel)
    expect(told).toEqual(['ERR_FDWIRE_CUT_SHORT', 'close'])
    await expect(channel.receive()).rejects.toEqual(errorWithCode('CUT_SHORT'))
    await expect(channel.flush()).rejects.toEqual(errorWithCode('CUT_SHORT'))
  })

  it('by close loses nothing of what is queued, however slow the reader', async () => {
    const [a, b] = await connected(FRAMES)
    for (let i = 0; i < 80; i++) a.send(patternBytes(100_000 + i))
    // What we have not read is dropped, and resets nothing.
    b.send(patternBytes(100_000))
    await loopTurns(3)
    const closed = a.close()
    const lengths: number[] = []
    for await (const { value } of b) {
      lengths.push((value as Buffer).length)
      await loopTurns(1)
    }
    expect(lengths).toEqual(Array.from({ length: 80 }, (_, i) => 100_000 + i))
    await closed
  })

  it('by close at its timeout destroys, and says how much was unsent', async () => {
    const [a, b] = await connected(FRAMES)
    a.send(patternBytes(8 * MIB))
    const closed = a.close({ timeout: 30 })
    await expect(closed).rejects.toMatchObject({ code: 'ERR_FDWIRE_TIMEOUT' })
    const { unsent } = (await closed.catch(error => error)) as { unsent: number }
    expect(unsent).toBeGreaterThan(1 * MIB)
    expect(a.closed).toBe(true)
    await expect(receiveAll(b)).rejects.toMatchObject({
      code: expect.stringMatching(/CUT_SHORT|ECONNRESET/),
    })
  })

  it('by close rejects, when the peer goes before it has all', async () => {
    const [a, b] = await connected(FRAMES)
    a.send(patternBytes(8 * MIB))
    const closed = a.close()
    const outcome = expect(closed).rejects.toMatchObject({
      code: expect.stringMatching(/EPIPE|ECONNRESET/),
    })
    await loopTurns(3)
    b.destroy()
    await outcome
  })

  it('by close of both sides at once loses nothing and fails nowhere', async () => {
    const [a, b] = await connected(LINES)
    a.send('one')
    b.send('two')
    await Promise.all([a.close(), b.close()])
    expect([a.closed, b.closed]).toEqual([true, true])
  })

  it('by destroy is noticed by the peer, though it does not read', async () => {
    const [a, b] = await connected(LINES)
    const told = recordEvents(b, false)
    a.destroy()
    await whenClosed(b)
    expect(told.at(-1)).toBe('close')
  })

  it('may be asked for in any callback', async () => {
    for (const event of ['message', 'end', 'drain'] as const) {
      for (const how of ['close', 'destroy', 'end'] as const) {
        const [a, b] = await connected(LINES)
        const told = recordEvents(a)
        if (event === 'drain') while (a.send('x'.repeat(9_999))) {}
        a.once(event, () => void a[how]())
        const got = receiveAll(b).catch(() => {})
        b.send('one')
        b.send('two')
        if (event !== 'drain') b.end()
        else await whenClosed(how === 'end' ? b : a)
        await Promise.all([whenClosed(a), got])
        expect(told.filter(one => one === 'close')).toEqual(['close'])
        expect(told.at(-1)).toBe('close')
        if (how !== 'end' && event === 'message') expect(told).toEqual(['one', 'close'])
      }
    }
  })
})

describe('an error', () => {
  it('of a reset comes once, behind the messages, and rejects who waits', async () => {
    const [socket, channel] = await nodeSocketAndChannel(LINES)
    const told = recordEvents(channel, false)
    const waiting = [channel.receive(), channel.receive(), channel.request('?')]
    const settled = Promise.allSettled(waiting)
    socket.write('one\n')
    await waiting[0]
    socket.resetAndDestroy()
    const [first, ...others] = await settled
    expect(first?.status).toBe('fulfilled')
    for (const one of others) {
      expect(one).toMatchObject({ status: 'rejected', reason: { code: 'ECONNRESET' } })
    }
    await whenClosed(channel)
    expect(told).toEqual(['ECONNRESET', 'close'])
    await expect(channel.receive()).rejects.toMatchObject({ code: 'ECONNRESET' })
    await expect(channel.close()).resolves.toBeUndefined()
  })

  it('of writing to who is gone rejects flush, behind what the peer had sent', async () => {
    const [a, b] = streamPair(FRAMES)
    const told = recordEvents(b)
    b.pause()
    a.send('last words')
    await a.flush()
    b.send(patternBytes(MIB))
    const flushed = expect(b.flush()).rejects.toMatchObject({
      code: expect.stringMatching(/EPIPE|ECONNRESET/),
    })
    a.destroy()
    await flushed
    b.resume()
    await whenClosed(b)
    expect(told.map(String)).toEqual(['last words', expect.stringMatching(/E/), 'close'])
  })

  it('comes also behind a good end, where our side was still open', async () => {
    const [a, b] = streamPair(FRAMES, { allowHalfOpen: true })
    const told = recordEvents(b)
    a.end()
    await waitUntil(() => told.length === 1)
    b.send(patternBytes(4 * MIB))
    const flushed = expect(b.flush()).rejects.toMatchObject({ code: 'EPIPE' })
    await loopTurns(2)
    a.destroy()
    await flushed
    await whenClosed(b)
    expect(told).toEqual(['end', 'EPIPE', 'close'])
  })

  it('that waits behind messages costs no time while it waits', async () => {
    const [a, b] = streamPair(FRAMES)
    a.send('x')
    a.send('y')
    await a.flush()
    b.send(patternBytes(4 * MIB))
    const flushed = b.flush().catch(error => error)
    a.destroy()
    await flushed
    const before = process.cpuUsage()
    await new Promise(resolve => setTimeout(resolve, 200))
    const { user, system } = process.cpuUsage(before)
    expect(user + system).toBeLessThan(100_000)
    expect((await receiveUpTo(b, 2)).map(String)).toEqual(['x', 'y'])
    await expect(b.receive()).rejects.toMatchObject({ code: 'ECONNRESET' })
  })

  it('is an uncaught exception where nobody listens or waits; a good end is none', async () => {
    const cut = child('unhandled-error', 'one\ntw')
    expect([await cut.receive(), await cut.receive(), await cut.receive()]).toEqual([
      'one',
      'uncaught ERR_FDWIRE_CUT_SHORT',
      'close',
    ])
    const good = child('unhandled-error', 'one\n')
    expect([await good.receive(), await good.receive()]).toEqual(['one', 'close'])
    expect(await good.exited).toBe(0)
  })
})

describe('a peer that is killed', () => {
  it('in mid-message cuts it short', async () => {
    const listener = await startListener('', LINES)
    const peer = child('partial-message', listener.address)
    const channel = await acceptNext(listener)
    expect(await receiveUpTo(channel, 2)).toEqual(['one', 'two'])
    await peer.receive()
    const next = expect(channel.receive()).rejects.toEqual(errorWithCode('CUT_SHORT'))
    await peer.stop()
    await next
  })

  it('in mid-message is noticed while nobody reads, if the beginning was read', async () => {
    const listener = await startListener('', LINES)
    const peer = child('partial-message', listener.address)
    const channel = await acceptNext(listener)
    await peer.receive()
    expect(await receiveUpTo(channel, 2)).toEqual(['one', 'two'])
    expect(channel.stats.inHand).toBe(3)
    const told = recordEvents(channel, false)
    await peer.stop()
    await whenClosed(channel)
    expect(told).toEqual(['ERR_FDWIRE_CUT_SHORT', 'close'])
  })

  it('is noticed while nobody reads', async () => {
    for (const where of ['', { host: '127.0.0.1', port: 0 }]) {
      const listener = await startListener(where, LINES)
      const peer = child('idle', listener.address)
      const channel = await acceptNext(listener)
      const told = recordEvents(channel, false)
      await peer.receive()
      await peer.stop()
      await whenClosed(channel)
      expect(told).toEqual(['end', 'close'])
    }
  })

  it('while we send fails what was queued', async () => {
    const listener = await startListener('', FRAMES)
    const peer = child('never-reads', listener.address)
    const channel = await acceptNext(listener)
    await peer.receive()
    channel.send(patternBytes(4 * MIB))
    const flushed = expect(channel.flush()).rejects.toMatchObject({
      code: expect.stringMatching(/EPIPE|ECONNRESET/),
    })
    await peer.stop()
    await flushed
    expect(String((await channel.receive())?.value)).toBe('here')
    await expect(channel.receive()).rejects.toMatchObject({
      code: expect.stringMatching(/EPIPE|ECONNRESET/),
    })
  })
})

describe('close', () => {
  it('of a Unix socket does not end it for a child that has inherited it', async () => {
    const [a, b] = pair({ ...LINES, type: 'stream' }).map(track) as [Channel, Channel]
    const peer = new Peer(
      process.execPath,
      [testPath('support/children/streams.mjs'), 'inherits'],
      {
        stdio: ['pipe', 'pipe', 'pipe', b.fd],
      },
    )
    expect(await peer.receive()).toBe('ready')
    b.send('from the parent')
    await b.close()
    peer.send({})
    expect(await receiveUpTo(a, 2)).toEqual(['from the parent', 'from the child'])
    a.send('still here')
    expect(await peer.receive()).toBe('still here')
    expect(await a.receive()).toBe(null)
  })

  it('over TCP sends a FIN and waits for the peer, whose input is dropped', async () => {
    const [socket, channel] = await nodeSocketAndChannel(LINES)
    socket.allowHalfOpen = true
    let got = ''
    socket.on('data', chunk => {
      got += chunk
    })
    channel.send('bye')
    let closed = false
    const closing = channel.close().then(() => {
      closed = true
    })
    await once(socket, 'end')
    for (let i = 0; i < 50; i++) socket.write(patternBytes(100_000))
    await loopTurns(5)
    expect([got, closed]).toEqual(['bye\n', false])
    socket.end()
    await closing
  })

  it('detached descriptors stay open and usable', async () => {
    const [a, b] = streamPair(LINES)
    const fd = b.detach()
    expect(b.closed).toBe(true)
    closeSync(fd)
    expect(await a.receive()).toBe(null)
  })
})
