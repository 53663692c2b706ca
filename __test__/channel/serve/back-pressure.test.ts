import { once } from 'node:events'
import { pair, type ServeContext } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, loopTurns, track } from '../../support/channels.js'
import { deferred } from '../../support/deferred.js'

destroyChannelsAfterEach()

const TEXT = 'x'.repeat(20_000)

function connected(options: object = {}) {
  const [client, server] = pair({ protocol: 'lines', encoding: 'json', ...options })
  return [track(client), track(server)] as const
}

/** Waits until a counter has not changed in many turns of the event loop. */
async function whenStill(read: () => number): Promise<number> {
  for (let last = -1, same = 0; ; ) {
    await loopTurns(5)
    const now = read()
    same = now === last ? same + 1 : 0
    if (same === 10) return now
    last = now
  }
}

describe.each([
  ['a handler that returns at once', false],
  ['an async handler', true],
])('the replies of %s to a client that does not read', (_, isAsync) => {
  it('stop the reading of requests until they have drained', async () => {
    const [client, server] = connected()
    let calls = 0
    void server.serve(value => {
      calls++
      const reply = { value, text: TEXT }
      return isAsync ? Promise.resolve(reply) : reply
    })
    const count = 500
    for (let i = 0; i < count; i++) client.send(i)
    const handled = await whenStill(() => calls)
    // The send buffer of the kernel, `highWaterMark`, and what the running handlers return.
    expect(handled).toBeLessThan(60)
    expect(server.stats.queuedBytes).toBeLessThan(65_536 + 17 * 21_000)
    const seen: unknown[] = []
    client.on('message', value => seen.push((value as { value: number }).value))
    await expect.poll(() => seen.length, { timeout: 20_000 }).toBe(count)
    expect(seen).toEqual(Array.from({ length: count }, (_, i) => i))
    expect(calls).toBe(count)
  })
})

describe.each([
  ['handlers that return at once', { handler: (value: unknown) => ({ value, text: TEXT }) }],
  [
    'handlers that wait for the drain themselves',
    {
      handler: async (value: unknown, _: unknown, { channel, signal }: ServeContext) => {
        if (!channel.send(TEXT)) await once(channel, 'drain', { signal })
        return value
      },
    },
  ],
  [
    'handlers that fail, and an onError that replies',
    {
      handler: () => {
        throw new Error('always')
      },
      onError: () => TEXT,
    },
  ],
])('a client that has not read its replies, from %s, and is gone', (_, { handler, ...options }) => {
  it.each([1, 8])('ends the channel with an error (concurrency %i)', async concurrency => {
    const [client, server] = connected()
    const serving = server.serve(handler, { concurrency, ...options })
    // The requests after those that were handled wait in the channel.
    for (let i = 0; i < 500; i++) client.send(i)
    await whenStill(() => server.stats.received)
    expect(server.stats).toMatchObject({ unread: expect.toSatisfy(count => count > 0) })
    client.destroy()
    const error = await serving.catch(error => error)
    // A handler whose signal is aborted may fail first, with the error of its own wait.
    expect(['ECONNRESET', 'EPIPE', 'ABORT_ERR']).toContain(error.code)
    expect(server.closed).toBe(true)
  })
})

describe('a reply that is ready while the queue is too long', () => {
  it('waits for the drain, so that the queue never exceeds maxQueued', async () => {
    const [client, server] = connected({ maxQueued: 100_000, highWaterMark: 1_000 })
    const errors: unknown[] = []
    const gate = deferred()
    void server.serve(
      async value => {
        await gate.promise
        return { value, text: TEXT }
      },
      { onError: error => errors.push(error) },
    )
    for (let i = 0; i < 200; i++) client.send(i)
    await expect.poll(() => server.stats.handlers).toBe(16)
    gate.resolve()
    await whenStill(() => server.stats.sent)
    expect(server.stats.queuedBytes).toBeLessThan(50_000)
    const seen: unknown[] = []
    client.on('message', value => seen.push((value as { value: number }).value))
    await expect.poll(() => seen.length, { timeout: 20_000 }).toBe(200)
    expect([errors, seen[199]]).toEqual([[], 199])
  })
})

describe('seqpacket', () => {
  it('stops reading when a reply has to be queued', async () => {
    const [client, server] = pair({ protocol: 'jsoncomm', type: 'seqpacket' })
    track(client)
    track(server)
    let calls = 0
    void server.serve(value => {
      calls++
      return { value, text: TEXT }
    })
    let sent = 0
    while (sent < 300 && (client.send(sent) || calls < 300)) {
      sent++
      await loopTurns(1)
      if (server.stats.queued > 0) break
    }
    const handled = await whenStill(() => calls)
    expect([server.stats.queued, handled <= sent]).toEqual([1, true])
    client.send('more')
    await whenStill(() => calls)
    expect([server.stats.queued, calls]).toEqual([1, handled])
    let seen = 0
    client.on('message', () => seen++)
    await expect.poll(() => seen).toBe(sent + 1)
  })
})
