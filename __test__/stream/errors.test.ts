import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode, loopTurns } from '../support/channels.js'
import { cleanUpAfterEach, streamsPeer } from '../support/processes.js'
import {
  acceptNext,
  FRAMES,
  LINES,
  nodeSocketAndChannel,
  patternBytes,
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

describe('an error of a stream', () => {
  it('comes once after the messages and rejects every pending call if the peer resets', async () => {
    const [socket, channel] = await nodeSocketAndChannel(LINES)
    const events = recordEvents(channel, false)
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
    expect(events).toEqual(['ECONNRESET', 'close'])
    await expect(channel.receive()).rejects.toMatchObject({ code: 'ECONNRESET' })
    await expect(channel.close()).resolves.toBeUndefined()
  })

  it('comes after the messages of the peer and rejects flush if a write fails', async () => {
    const [a, b] = streamPair(FRAMES)
    const events = recordEvents(b)
    b.pause()
    a.send('last message')
    await a.flush()
    b.send(patternBytes(MIB))
    const flushed = expect(b.flush()).rejects.toMatchObject({
      code: expect.stringMatching(/EPIPE|ECONNRESET/),
    })
    a.destroy()
    await flushed
    b.resume()
    await whenClosed(b)
    expect(events.map(String)).toEqual(['last message', expect.stringMatching(/E/), 'close'])
  })

  it('can follow an end if the sending direction was still open', async () => {
    const [a, b] = streamPair(FRAMES, { allowHalfOpen: true })
    const events = recordEvents(b)
    a.end()
    await waitUntil(() => events.length === 1)
    b.send(patternBytes(4 * MIB))
    const flushed = expect(b.flush()).rejects.toMatchObject({ code: 'EPIPE' })
    await loopTurns(2)
    a.destroy()
    await flushed
    await whenClosed(b)
    expect(events).toEqual(['end', 'EPIPE', 'close'])
  })

  it('uses no CPU time while it waits for messages to be received', async () => {
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

  it('is an uncaught exception without a handler or pending call, unlike a clean end', async () => {
    const cut = streamsPeer('unhandled-error', 'one\ntw')
    expect([await cut.receive(), await cut.receive(), await cut.receive()]).toEqual([
      'one',
      'uncaught ERR_FDWIRE_CUT_SHORT',
      'close',
    ])
    const clean = streamsPeer('unhandled-error', 'one\n')
    expect([await clean.receive(), await clean.receive()]).toEqual(['one', 'close'])
    expect(await clean.exited).toBe(0)
  })
})

describe('a peer that is killed', () => {
  it('causes CUT_SHORT if it has sent part of a message', async () => {
    const listener = await startListener(null, LINES)
    const peer = streamsPeer('partial-message', listener.address)
    const channel = await acceptNext(listener)
    expect(await receiveUpTo(channel, 2)).toEqual(['one', 'two'])
    await peer.receive()
    const next = expect(channel.receive()).rejects.toEqual(errorWithCode('CUT_SHORT'))
    await peer.stop()
    await next
  })

  it('is noticed without a reader if part of its message was read', async () => {
    const listener = await startListener(null, LINES)
    const peer = streamsPeer('partial-message', listener.address)
    const channel = await acceptNext(listener)
    await peer.receive()
    expect(await receiveUpTo(channel, 2)).toEqual(['one', 'two'])
    expect(channel.stats.inHand).toBe(3)
    const events = recordEvents(channel, false)
    await peer.stop()
    await whenClosed(channel)
    expect(events).toEqual(['ERR_FDWIRE_CUT_SHORT', 'close'])
  })

  it('is noticed without a reader', async () => {
    for (const where of [null, { host: '127.0.0.1', port: 0 }]) {
      const listener = await startListener(where, LINES)
      const peer = streamsPeer('idle', listener.address)
      const channel = await acceptNext(listener)
      const events = recordEvents(channel, false)
      await peer.receive()
      await peer.stop()
      await whenClosed(channel)
      expect(events).toEqual(['end', 'close'])
    }
  })

  it('makes the messages queued for it fail', async () => {
    const listener = await startListener(null, FRAMES)
    const peer = streamsPeer('never-reads', listener.address)
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
