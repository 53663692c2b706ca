import { openSync } from 'node:fs'
import { chdir, cwd } from 'node:process'
import { bind, connect, pair, Reply } from 'fdwire'
import { describe, expect, it } from 'vitest'
import {
  boundChannel,
  connectTo,
  countOpen,
  destroyChannelsAfterEach,
  JSONCOMM,
  loopTurns,
  track,
  withFd,
} from '../../support/channels.js'
import { type Deferred, deferred } from '../../support/deferred.js'
import { cleanUpAfterEach, temporaryDirectory } from '../../support/processes.js'

destroyChannelsAfterEach()
cleanUpAfterEach()

/** Serves with handlers that wait until their gate is opened. */
function serveWithGates(server: Awaited<ReturnType<typeof boundChannel>>, concurrency?: number) {
  const gates: { value: unknown; gate: Deferred<unknown> }[] = []
  let running = 0
  const most = new Map<unknown, number>()
  const byFrom = new Map<unknown, number>()
  void server.serve(
    async (value, _, { from }) => {
      const gate = deferred<unknown>()
      gates.push({ value, gate })
      running++
      const own = (byFrom.get(from) ?? 0) + 1
      byFrom.set(from, own)
      most.set(from, Math.max(own, most.get(from) ?? 0))
      most.set('all', Math.max(running, most.get('all') ?? 0))
      const reply = await gate.promise
      running--
      byFrom.set(from, (byFrom.get(from) as number) - 1)
      return reply
    },
    concurrency === undefined ? {} : { concurrency },
  )
  const open = (value: unknown, reply = value) => {
    const found = gates.findIndex(one => one.value === value)
    gates.splice(found, 1)[0]?.gate.resolve(reply)
  }
  return { gates, open, most }
}

describe('serve on an unconnected datagram socket', () => {
  it('replies to each sender, and passes its address', async () => {
    const server = await boundChannel()
    const clients = [await connectTo(server), await connectTo(server)]
    const seen: unknown[] = []
    void server.serve((value, _, { from }) => {
      seen.push(from)
      return { re: value }
    })
    const replies = await Promise.all(clients.map((client, i) => client.request(i)))
    expect(replies.map(({ value }) => value)).toEqual([{ re: 0 }, { re: 1 }])
    expect(new Set(seen)).toEqual(new Set(clients.map(client => client.localAddress)))
  })

  it('keeps the order for each sender, and lets no sender wait for another', async () => {
    const server = await boundChannel()
    const [one, other] = [await connectTo(server), await connectTo(server)]
    const { gates, open } = serveWithGates(server)
    const replies = [one.request('a1'), one.request('a2')]
    await expect.poll(() => gates.length).toBe(2)
    const quick = other.request('b1')
    await expect.poll(() => gates.length).toBe(3)
    const settled: unknown[] = []
    for (const reply of replies) reply.then(({ value }) => settled.push(value))
    open('a2')
    open('b1')
    expect((await quick).value).toBe('b1')
    await loopTurns(3)
    expect(settled).toEqual([])
    open('a1')
    await Promise.all(replies)
    expect(settled).toEqual(['a1', 'a2'])
  })

  it('runs at most a quarter of `concurrency` for one sender, whose other requests wait', async () => {
    const server = await boundChannel()
    const [greedy, other] = [await connectTo(server), await connectTo(server)]
    const { gates, open, most } = serveWithGates(server, 8)
    const values = Array.from({ length: 7 }, (_, i) => `greedy ${i}`)
    const replies = Promise.all(values.map(value => greedy.request(value)))
    await expect.poll(() => server.stats.received).toBe(7)
    const reply = other.request('other')
    await expect.poll(() => gates.length).toBe(3)
    open('other')
    expect((await reply).value).toBe('other')
    for (const value of values) {
      await expect.poll(() => gates.some(gate => gate.value === value)).toBe(true)
      open(value)
    }
    expect((await replies).map(({ value }) => value)).toEqual(values)
    expect(most.get(greedy.localAddress)).toBe(2)
    expect(server.stats.droppedRequests).toBe(0)
  })

  it('drops and counts the requests of one sender beyond `concurrency` that wait', async () => {
    const server = await boundChannel()
    const greedy = await connectTo(server)
    const { gates, open } = serveWithGates(server, 4)
    await withFd(async fd => {
      for (let i = 0; i < 20; i++) {
        greedy.send(i, { fds: [fd] })
        await expect.poll(() => server.stats.received).toBe(i + 1)
      }
    }, '/dev/full')
    // One runs, four wait.
    expect([server.stats.droppedRequests, countOpen('/dev/full')]).toEqual([15, 5])
    for (let i = 0; i < 5; i++) {
      await expect.poll(() => gates.length).toBe(1)
      open(i, undefined)
    }
    await expect.poll(() => countOpen('/dev/full')).toBe(0)
  })

  it('stops reading while `concurrency` handlers run', async () => {
    const server = await boundChannel()
    const clients = await Promise.all(Array.from({ length: 3 }, () => connectTo(server)))
    const { gates, open, most } = serveWithGates(server, 2)
    const replies = clients.map((client, i) => client.request(i))
    await expect.poll(() => gates.length).toBe(2)
    await loopTurns(5)
    expect(gates.length).toBe(2)
    open(gates[0]?.value)
    await expect.poll(() => gates.length).toBe(2)
    open(gates[0]?.value)
    open(gates[0]?.value)
    await Promise.all(replies)
    expect(most.get('all')).toBe(2)
  })

  it('drops and counts the requests of a sender while replies to it wait in the queue', async () => {
    const server = await boundChannel()
    // The kernel queues 11 datagrams for a receiver that is not connected to their sender.
    const [deaf, other] = [await boundChannel(), await connectTo(server)]
    const to = server.localAddress as string
    let calls = 0
    void server.serve(value => {
      if (value !== 'other') calls++
      return value
    })
    let sent = 0
    while (server.stats.queued === 0) {
      deaf.send('deaf', { to })
      sent++
      await expect.poll(() => calls).toBe(sent)
    }
    for (let i = 1; i <= 3; i++) {
      deaf.send('deaf', { to })
      await expect.poll(() => server.stats.droppedRequests).toBe(i)
    }
    expect([calls, server.stats.queued]).toEqual([sent, 1])
    expect((await other.request('other')).value).toBe('other')
    // It is served again once it has read.
    deaf.on('message', () => {})
    await expect.poll(() => server.stats.queued).toBe(0)
    await loopTurns(3)
    deaf.send('deaf', { to })
    await expect.poll(() => calls).toBe(sent + 1)
  })

  it('serves a sender again whose queued replies have expired', async () => {
    const server = track(await bind(null, { ...JSONCOMM, sendTimeout: 50 }))
    const deaf = await boundChannel()
    const to = server.localAddress as string
    let calls = 0
    void server.serve(value => {
      calls++
      return value
    })
    for (let sent = 1; server.stats.undelivered === 0; sent++) {
      deaf.send('deaf', { to })
      await expect.poll(() => calls + server.stats.droppedRequests).toBe(sent)
    }
    await expect.poll(() => server.stats.queued).toBe(0)
    await loopTurns(3)
    const before = calls
    deaf.send('again', { to })
    await expect.poll(() => calls).toBe(before + 1)
  })

  it('drops and counts replies to a sender without a name, whose requests it handles', async () => {
    const server = await boundChannel()
    const client = track(
      await connect(server.localAddress as string, { ...JSONCOMM, localAddress: null }),
    )
    const seen: unknown[] = []
    void server.serve((value, _, { from }) => {
      seen.push(value, from)
      return new Reply('to nobody', { fds: [openSync('/dev/full', 'r')] })
    })
    client.send('anonymous')
    await expect.poll(() => server.stats.droppedReplies).toBe(1)
    expect(seen).toEqual(['anonymous', null])
    await expect.poll(() => countOpen('/dev/full')).toBe(0)
  })

  it.each([false, true])(
    'drops replies to a relative name, unless allowRelative (%s)',
    async allowRelative => {
      const before = cwd()
      chdir(temporaryDirectory())
      try {
        const server = track(await bind(null, { ...JSONCOMM, allowRelative }))
        const client = track(
          await connect(server.localAddress as string, { ...JSONCOMM, localAddress: 'relative' }),
        )
        void server.serve(value => value)
        const reply = client.request('x', { timeout: allowRelative ? 0 : 500 })
        if (allowRelative) {
          expect((await reply).value).toBe('x')
        } else {
          await expect.poll(() => server.stats.droppedReplies).toBe(1)
          await expect(reply).rejects.toMatchObject({ code: 'ERR_FDWIRE_TIMEOUT' })
        }
        client.destroy()
      } finally {
        chdir(before)
      }
    },
  )

  it('replies to a name that is not UTF-8', async () => {
    const server = await boundChannel()
    const name = Buffer.from([0, 0xff, 0xfe, ...Buffer.from(String(process.pid))])
    const client = track(
      await connect(server.localAddress as string, { ...JSONCOMM, localAddress: name }),
    )
    void server.serve(async (value, _, { from }) => {
      // The handler owns the Buffer.
      if (Buffer.isBuffer(from)) from.fill(0)
      return value
    })
    const replies = await Promise.all([client.request(1), client.request(2)])
    expect(replies.map(({ value }) => value)).toEqual([1, 2])
  })

  it('passes the credentials to the handler', async () => {
    const server = await boundChannel({ credentials: true })
    const client = await connectTo(server)
    void server.serve((_, __, { credentials }) => credentials)
    expect((await client.request(1)).value).toEqual({
      pid: process.pid,
      uid: process.getuid?.(),
      gid: process.getgid?.(),
    })
  })

  it('keeps only a bounded number of senders in memory', async () => {
    const server = await boundChannel()
    void server.serve(value => value)
    const first = await connectTo(server)
    expect((await first.request(0)).value).toBe(0)
    for (let i = 0; i < 1_100; i++) {
      const client = await connectTo(server)
      await client.request(i)
      client.destroy()
    }
    const to = first.localAddress as string
    // The first sender is forgotten: this request takes its next message as the reply.
    const request = server.request('?', { to })
    expect((await first.receive())?.value).toBe('?')
    first.send('!')
    expect((await request).value).toBe('!')
  }, 60_000)
})

describe('serve on a connected datagram socket', () => {
  it('waits for room in the queue instead of dropping requests', async () => {
    const [client, server] = pair({ protocol: 'jsoncomm', type: 'dgram' })
    track(client)
    track(server)
    void server.serve(value => value)
    const count = 100
    const replies = Array.from({ length: count }, (_, i) => client.request(i))
    const values = (await Promise.all(replies)).map(({ value }) => value)
    expect(values).toEqual(Array.from({ length: count }, (_, i) => i))
    expect(server.stats.droppedRequests).toBe(0)
  })
})
