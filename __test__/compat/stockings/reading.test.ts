/** Back-pressure, the readable event and iteration of a Stocking. */
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode, loopTurns } from '../../support/channels.js'
import { MIB, rawPair, readNext, stockingPair } from '../../support/stockings.js'
import { runCleanupsAfterEach, waitUntil } from '../../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()

describe('unread messages of a Stocking', () => {
  it('are limited by maxUnread, which slows down the peer and loses no message', async () => {
    const [a, b] = stockingPair({ maxUnread: 100_000 })
    await Promise.all([a.ready, b.ready])
    const body = 'x'.repeat(1_000)
    const COUNT = 5_000
    let sent = 0
    const writeMore = () => {
      while (sent < COUNT) if (!a.write(`${sent++} ${body}`)) return
    }
    a.on('drain', writeMore)
    writeMore()
    await waitUntil(() => b.channel.isPaused())
    await loopTurns(20)
    expect(b.unread).toBeLessThanOrEqual(Math.ceil(100_000 / 1_066))
    expect(a.writeDataQueued()).toBe(true)
    expect(sent).toBeLessThan(COUNT)
    for (let i = 0; i < COUNT; i++) {
      const value = await readNext(b)
      if (value !== `${i} ${body}`) expect(value).toBe(`${i} ${body}`)
    }
    expect(b.read()).toBe(null)
  })

  it('are limited by maxUnread even if they are empty', async () => {
    const [bytes, stocking] = rawPair({ maxUnread: 6_400 })
    bytes.send(Buffer.alloc(1_000, 0x80))
    await waitUntil(() => stocking.channel.isPaused())
    expect(stocking.unread).toBe(100)
    for (let i = 0; i < 1_000; i++) expect(await readNext(stocking)).toBe('')
  })

  it('do not prevent writing', async () => {
    const [bytes, stocking] = rawPair({ maxUnread: 10 })
    bytes.send(Buffer.from('826869'.repeat(50_000), 'hex'))
    await waitUntil(() => stocking.channel.isPaused())
    stocking.write('out')
    expect((await bytes.receive())?.value).toEqual(Buffer.from('836f7574', 'hex'))
  })
})

describe('unsent messages of a Stocking', () => {
  it('are limited: write throws ERR_FDWIRE_QUEUE_FULL if the peer never reads', async () => {
    const [, stocking] = rawPair()
    await stocking.ready
    const fillQueue = () => {
      for (let i = 0; i < 100; i++) stocking.write(Buffer.alloc(MIB))
    }
    expect(fillQueue).toThrow(errorWithCode('ERR_FDWIRE_QUEUE_FULL'))
    expect(stocking.active).toBe(true)
    await expect(stocking.close({ timeout: 10 })).rejects.toEqual(
      errorWithCode('ERR_FDWIRE_TIMEOUT'),
    )
  })
})

describe('the readable event', () => {
  it('is emitted for each message while a listener reads, also to a listener added late', async () => {
    const [bytes, stocking] = rawPair()
    bytes.send(Buffer.from('816181628163', 'hex'))
    await waitUntil(() => stocking.unread === 3)
    const received: unknown[] = []
    stocking.on('readable', () => received.push(stocking.read()))
    await waitUntil(() => received.length === 3)
    bytes.send(Buffer.from('81648165', 'hex'))
    await waitUntil(() => received.length === 5)
    expect(received).toEqual(['a', 'b', 'c', 'd', 'e'])
  })

  it('is emitted once per message if no listener reads', async () => {
    const [bytes, stocking] = rawPair()
    let times = 0
    stocking.on('readable', () => times++)
    bytes.send(Buffer.from('81618162', 'hex'))
    await waitUntil(() => stocking.unread === 2)
    await loopTurns(5)
    expect(times).toBe(2)
  })
})

describe('iteration over a Stocking', () => {
  it('yields the messages until the end, or throws the fatal error', async () => {
    const [bytes, stocking] = rawPair()
    bytes.send(Buffer.from('81618162', 'hex'))
    bytes.end()
    const received: unknown[] = []
    for await (const value of stocking) received.push(value)
    expect(received).toEqual(['a', 'b'])
    const [others, cut] = rawPair()
    others.send(Buffer.from('816182', 'hex'))
    others.end()
    const iterate = async () => {
      for await (const value of cut) received.push(value)
    }
    await expect(iterate()).rejects.toEqual(errorWithCode('ERR_FDWIRE_CUT_SHORT'))
    expect(received).toEqual(['a', 'b', 'a'])
    const [, closed] = rawPair()
    await closed.ready
    const waiting = closed[Symbol.asyncIterator]().next()
    await closed.close()
    expect(await waiting).toEqual({ done: true, value: undefined })
  })
})
