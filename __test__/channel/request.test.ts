import { once } from 'node:events'

import { bind, type Channel, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import {
  boundChannel,
  channelPair,
  countOpen,
  destroyChannelsAfterEach,
  errorWithCode,
  JSONCOMM,
  loopTurns,
  rawDgramPair,
  receiveValues,
  sendUntilQueued,
  track,
  withFd,
} from '../support/channels.js'
import { waitUntil } from '../support/streams.js'

destroyChannelsAfterEach()

/** Waits for progress: returns false if the channel reads nothing in many turns of the loop. */
async function isRead(channel: Channel): Promise<boolean> {
  const { unread } = channel.stats
  for (let turn = 0; turn < 100 && channel.stats.unread === unread; turn++) await loopTurns(1)
  return channel.stats.unread !== unread
}

const value = (message: { value: unknown } | null) => message?.value

describe('request', () => {
  it('matches several replies in order', async () => {
    const [client, server] = channelPair()
    server.on('message', value => server.send(`re ${value}`))
    const replies = await Promise.all([1, 2, 3].map(i => client.request(i)))
    expect(replies.map(value)).toEqual(['re 1', 're 2', 're 3'])
  })

  it('carries descriptors in both directions', async () => {
    const [client, server] = channelPair()
    server.on('message', (_, fds) => {
      server.send('back', { fds })
      fds.close()
    })
    const { fds } = await withFd(fd => client.request('there', { fds: [fd, fd] }), '/dev/full')
    expect([fds.length, countOpen('/dev/full')]).toEqual([2, 2])
    fds.close()
  })

  it('keeps its place when it is abandoned; its late reply is dropped, closed and counted', async () => {
    const [client, server] = channelPair()
    const aborter = new AbortController()
    const first = client.request(1, { timeout: 5 })
    const second = client.request(2, { signal: aborter.signal })
    const third = client.request(3)
    await expect(first).rejects.toEqual(errorWithCode('TIMEOUT'))
    aborter.abort()
    await expect(second).rejects.toMatchObject({ name: 'AbortError' })
    expect(await receiveValues(server, 3)).toEqual([1, 2, 3])
    await withFd(fd => {
      for (let i = 1; i <= 3; i++) server.send(`re ${i}`, { fds: [fd] })
    }, '/dev/full')
    const { value, fds } = await third
    expect(value).toBe('re 3')
    fds.close()
    expect(countOpen('/dev/full')).toBe(0)
    expect(client.stats).toMatchObject({ lateReplies: 2, openFds: 0 })
  })

  it('loses its place once it has been abandoned for sendTimeout', async () => {
    const [client, server] = channelPair({ sendTimeout: 30 })
    await expect(client.request(1, { timeout: 5 })).rejects.toEqual(errorWithCode('TIMEOUT'))
    await expect(client.receive({ timeout: 50 })).rejects.toEqual(errorWithCode('TIMEOUT'))
    const second = client.request(2)
    server.send('re 2')
    expect((await second).value).toBe('re 2')
    expect(client.stats.lateReplies).toBe(0)
  })

  it('rejects if its reply is malformed, and the next request gets its own', async () => {
    const [server, client] = await rawDgramPair()
    const to = server.localAddress as string
    const replies = [client.request(1, { to }), client.request(2, { to })]
    server.send('no')
    server.send('2')
    await expect(replies[0]).rejects.toEqual(errorWithCode('NOT_JSON'))
    expect((await replies[1])?.value).toBe(2)
  })

  it('takes a reply only from its destination; other messages go to other consumers', async () => {
    const client = await boundChannel()
    const [server, other] = [await boundChannel(), await boundChannel()]
    const to = client.localAddress as string
    const reply = client.request('?', { to: server.localAddress as string })
    const values: unknown[] = []
    client.on('message', value => values.push(value))
    other.send('other 1', { to })
    await loopTurns(3)
    server.send('reply', { to })
    other.send('other 2', { to })
    server.send('more', { to })
    expect(value(await reply)).toBe('reply')
    while (values.length < 3) await loopTurns(1)
    expect(values).toEqual(['other 1', 'other 2', 'more'])
  })

  it('finds its reply after unread messages, which keep their order', async () => {
    const client = await boundChannel()
    const [server, other] = [await boundChannel(), await boundChannel()]
    const to = client.localAddress as string
    for (let i = 0; i < 3; i++) other.send(i, { to })
    const reply = client.request('?', { to: server.localAddress as string })
    await loopTurns(3)
    expect(client.stats.unread).toBe(3)
    for (const text of ['reply', 'stale', 'stale too']) server.send(text, { to })
    expect(value(await reply)).toBe('reply')
    const again = client.request('?', { to: Buffer.from(server.localAddress as string) })
    expect(value(await again)).toBe('stale')
    expect(await receiveValues(client, 4)).toEqual([0, 1, 2, 'stale too'])
  })

  it('stops reading if too much is kept ahead of its reply, and resumes when that is received', async () => {
    const client = await boundChannel()
    const [server, other] = [await boundChannel(), await boundChannel()]
    const to = client.localAddress as string
    const reply = client.request('?', { to: server.localAddress as string })
    const text = 'x'.repeat(200_000)
    for (let sent = 0; sent < 170; sent++) {
      if (!other.send(text, { to }) && !(await isRead(client))) break
    }
    const { unread } = client.stats
    expect(unread).toBeGreaterThan(32 * 5)
    expect(unread).toBeLessThan(172)
    server.send('reply', { to })
    await loopTurns(3)
    await receiveValues(client, unread)
    expect(value(await reply)).toBe('reply')
  })

  it('reads on once some of what is kept ahead of its reply has been received', async () => {
    const client = await boundChannel()
    const [server, other] = [await boundChannel(), await boundChannel()]
    const to = client.localAddress as string
    const reply = client.request('?', { to: server.localAddress as string })
    reply.catch(() => {})
    const text = 'x'.repeat(200_000)
    for (let sent = 0; sent < 200; sent++) {
      if (!other.send(text, { to }) && !(await isRead(client))) break
    }
    while (await isRead(client)) {}
    const { received } = client.stats
    expect(received).toBeLessThan(172)
    await receiveValues(client, 20)
    await waitUntil(() => client.stats.received > received)
  })

  it('rejects if it cannot be sent, and then claims no message as its reply', async () => {
    const [a, b] = channelPair()
    await expect(b.request(1n)).rejects.toEqual(errorWithCode('UNENCODABLE'))
    await expect(b.request(1, { fds: [9_999] })).rejects.toEqual(errorWithCode('EBADF'))
    a.send(1)
    await loopTurns(3)
    expect(b.stats.received).toBe(0)
  })

  it('rejects with the reason if it is undelivered, and loses its place', async () => {
    const server = await boundChannel()
    const client = track(await bind(null, { ...JSONCOMM, sendTimeout: 30 }))
    const to = server.localAddress as string
    sendUntilQueued(client, { to })
    const undelivered = once(client, 'undelivered')
    await expect(client.request('?', { to })).rejects.toEqual(errorWithCode('UNDELIVERED'))
    expect(await undelivered).toMatchObject([{ code: 'ERR_FDWIRE_UNDELIVERED' }, { to }])
    server.send('later', { to: client.localAddress as string })
    expect(await receiveValues(client, 1)).toEqual(['later'])
  })
})

describe('requests in flight', () => {
  /** Sends requests that share a signal, then all replies. Returns the elapsed time (ms). */
  async function roundTrips(count: number): Promise<number> {
    const [client, server] = pair({ protocol: 'lines', encoding: 'json' })
    track(client)
    track(server)
    const { signal } = new AbortController()
    const began = performance.now()
    const replies = Array.from({ length: count }, (_, i) => client.request(i, { signal }))
    const values = await receiveValues(server, count)
    server.sendAll(values)
    expect((await Promise.all(replies)).map(value)).toEqual(values)
    return performance.now() - began
  }

  it('take time linear in their number, up to 100,000 at once', async () => {
    await roundTrips(10_000)
    const [few, many] = [await roundTrips(10_000), await roundTrips(100_000)]
    // Ten times as many requests would take a hundred times as long if the time were quadratic.
    expect(many / few).toBeLessThan(50)
  }, 60_000)
})
