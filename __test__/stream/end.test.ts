import { type Channel, Codec } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode, loopTurns, track } from '../support/channels.js'
import { cleanUpAfterEach } from '../support/processes.js'
import {
  FRAMES,
  LINES,
  patternBytes,
  RAW_STREAM,
  receiveAll,
  recordEvents,
  runCleanupsAfterEach,
  STREAM_CONNECTIONS,
  waitUntil,
  whenClosed,
} from '../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()
cleanUpAfterEach()

describe.each(STREAM_CONNECTIONS)('the end of a stream over %s', (_, connected) => {
  it('comes after all messages, followed by close', async () => {
    const [a, b] = await connected(LINES)
    const events = recordEvents(b)
    for (let i = 0; i < 1_000; i++) a.send(`${i}`)
    await a.close()
    await whenClosed(b)
    expect(events).toEqual([...Array(1_000).keys()].map(String).concat('end', 'close'))
  })

  it('waits until every message is received', async () => {
    const [a, b] = await connected(LINES)
    const events = recordEvents(b, false)
    for (let i = 0; i < 5; i++) a.send(`${i}`)
    a.end()
    await loopTurns(5)
    expect(events).toEqual([])
    for (let i = 0; i < 5; i++) {
      expect((await b.receive())?.value).toBe(`${i}`)
      if (i < 4) expect(events).toEqual([])
    }
    expect(await b.receive()).toBe(null)
    await whenClosed(b)
    expect(events).toEqual(['end', 'close'])
    for (let i = 0; i < 3; i++) expect(await b.receive()).toBe(null)
    expect(await receiveAll(b)).toEqual([])
    expect(() => b.send('late')).toThrow(errorWithCode('CLOSED'))
  })

  it('waits while the channel is paused', async () => {
    const [a, b] = await connected(LINES)
    const events = recordEvents(b)
    b.pause()
    a.send('one')
    a.end()
    await loopTurns(10)
    expect(events).toEqual([])
    b.resume()
    await whenClosed(b)
    expect(events).toEqual(['one', 'end', 'close'])
  })

  it('ends an iteration and every pending receive', async () => {
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

  it('rejects pending requests', async () => {
    const [a, b] = await connected(LINES)
    const request = expect(b.request('?')).rejects.toMatchObject({
      code: 'ERR_FDWIRE_PEER_CLOSED',
      fault: 'peer',
    })
    a.end()
    await request
  })

  it('leaves the other direction open with allowHalfOpen', async () => {
    const [a, b] = await connected(LINES, { allowHalfOpen: true })
    a.send('request')
    a.end()
    expect(() => a.send('more')).toThrow(errorWithCode('CLOSED'))
    expect(await receiveAll(b)).toEqual(['request'])
    expect([b.closed, a.closed]).toEqual([false, false])
    b.send('reply')
    await b.flush()
    b.end()
    expect(await receiveAll(a)).toEqual(['reply'])
    await Promise.all([whenClosed(a), whenClosed(b)])
  })

  it('closes the channel without allowHalfOpen, after the queue is sent', async () => {
    const [a, b] = await connected(FRAMES)
    const events = recordEvents(b)
    const values = Array.from({ length: 20 }, (_, i) => patternBytes(200_000 + i))
    for (const value of values) b.send(value)
    a.end()
    await waitUntil(() => events.includes('end'))
    expect(events).toEqual(['end'])
    const got = (await receiveAll(a)) as Buffer[]
    expect(got.map(one => one.length)).toEqual(values.map(one => one.length))
    await whenClosed(b)
    expect(events).toEqual(['end', 'close'])
  })

  it('comes once on each side if both call end twice', async () => {
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

  it('is an error with the number of missing bytes if it comes within a message', async () => {
    const [a, b] = await connected(RAW_STREAM)
    const frame = new Codec('length_prefixed').encode(patternBytes(1_000))
    const fd = b.detach()
    const channel = track((await import('fdwire')).adopt(fd, FRAMES))
    const events = recordEvents(channel, false)
    a.send(Buffer.concat([frame, frame.subarray(0, 904)]))
    a.end()
    const iterated = receiveAll(channel as Channel)
    await expect(iterated).rejects.toMatchObject({ code: 'ERR_FDWIRE_CUT_SHORT', missing: 100 })
    await whenClosed(channel as Channel)
    expect(events).toEqual(['ERR_FDWIRE_CUT_SHORT', 'close'])
    await expect(channel.receive()).rejects.toEqual(errorWithCode('CUT_SHORT'))
    await expect(channel.flush()).rejects.toEqual(errorWithCode('CUT_SHORT'))
  })
})
