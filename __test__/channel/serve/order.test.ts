import { Duplex, PassThrough } from 'node:stream'
import { over, pair, Reply, type ServeContext } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, loopTurns, track } from '../../support/channels.js'
import { type Deferred, deferred } from '../../support/deferred.js'

destroyChannelsAfterEach()

const TYPES = [
  { protocol: 'lines', encoding: 'json' },
  { protocol: 'jsoncomm', type: 'seqpacket' },
  { protocol: 'jsoncomm', type: 'dgram' },
] as const

describe.each(TYPES)('serve on a connected channel ($protocol, $type)', options => {
  const connected = () => {
    const [client, server] = pair({ ...options } as { protocol: 'jsoncomm' })
    return [track(client), track(server)] as const
  }

  it('replies with what the handler returns, now or later', async () => {
    const [client, server] = connected()
    void server.serve(value => (value === 'now' ? 'sync' : Promise.resolve('async')))
    const replies = await Promise.all([client.request('now'), client.request('later')])
    expect(replies.map(({ value }) => value)).toEqual(['sync', 'async'])
  })

  it('sends replies in the order of the requests, whatever the order in which handlers settle', async () => {
    const [client, server] = connected()
    const gates = new Map<unknown, Deferred<string>>()
    void server.serve(value => {
      if (value === 'sync') return 'sync'
      const gate = deferred<string>()
      gates.set(value, gate)
      return gate.promise
    })
    const replies = [1, 2, 'sync', 3].map(value => client.request(value))
    const settled: unknown[] = []
    for (const reply of replies) reply.then(({ value }) => settled.push(value))
    await expect.poll(() => gates.size).toBe(3)
    gates.get(3)?.resolve('third')
    gates.get(2)?.resolve('second')
    await loopTurns(5)
    expect(settled).toEqual([])
    gates.get(1)?.resolve('first')
    await Promise.all(replies)
    expect(settled).toEqual(['first', 'second', 'sync', 'third'])
  })

  it('sends nothing for undefined, now or later, and null as a value', async () => {
    const [client, server] = connected()
    void server.serve(value => {
      if (value === 'none') return undefined
      if (value === 'later none') return Promise.resolve()
      return null
    })
    client.send('none')
    client.send('later none')
    expect((await client.request('null')).value).toBe(null)
    expect(server.stats.sent).toBe(1)
  })

  it('runs at most `concurrency` handlers at once, and stops reading beyond that', async () => {
    const [client, server] = connected()
    const gates: Deferred<unknown>[] = []
    void server.serve(
      value => {
        const gate = deferred<unknown>()
        gates.push(gate)
        return gate.promise.then(() => value)
      },
      { concurrency: 3 },
    )
    const values = Array.from({ length: 10 }, (_, i) => i)
    const replies = Promise.all(values.map(value => client.request(value)))
    for (let began = 0; began < 10; began++) {
      await expect.poll(() => gates.length).toBe(Math.min(10, began + 3))
      await loopTurns(2)
      expect([gates.length, server.stats.handlers]).toEqual([
        Math.min(10, began + 3),
        Math.min(3, 10 - began),
      ])
      gates[began]?.resolve(undefined)
    }
    expect((await replies).map(({ value }) => value)).toEqual(values)
    expect(server.stats.handlers).toBe(0)
  })

  it('keeps at most four replies per handler that wait for a slow first one', async () => {
    const [client, server] = connected()
    const first = deferred<string>()
    let calls = 0
    void server.serve(
      async value => {
        calls++
        return value === 0 ? first.promise : value
      },
      { concurrency: 2 },
    )
    const replies = Promise.all(Array.from({ length: 20 }, (_, i) => client.request(i)))
    await expect.poll(() => calls).toBe(8)
    await loopTurns(10)
    expect([calls, server.stats.handlers, server.stats.sent]).toEqual([8, 1, 0])
    first.resolve('first')
    expect((await replies).map(({ value }) => value)).toEqual([
      'first',
      ...Array.from({ length: 19 }, (_, i) => i + 1),
    ])
  })

  it('passes the channel, no address and a signal to the handler', async () => {
    const [client, server] = connected()
    const contexts: ServeContext[] = []
    void server.serve((_, fds, context) => {
      contexts.push(context)
      return fds.length
    })
    expect((await client.request(1)).value).toBe(0)
    expect(contexts[0]?.channel).toBe(server)
    expect(contexts[0]?.from).toBe(undefined)
    expect(contexts[0]?.signal.aborted).toBe(false)
  })

  it('takes a Reply without descriptors like its value', async () => {
    const [client, server] = connected()
    void server.serve(value => new Reply({ re: value }))
    expect((await client.request(1)).value).toEqual({ re: 1 })
  })

  it('serves the messages that were read before', async () => {
    const [client, server] = connected()
    client.sendAll([1, 2, 3])
    expect((await server.receive())?.value).toBe(1)
    const seen: unknown[] = []
    void server.serve(value => {
      seen.push(value)
    })
    await expect.poll(() => seen).toEqual([2, 3])
  })

  it('is held by pause() and goes on after resume()', async () => {
    const [client, server] = connected()
    const seen: unknown[] = []
    void server.serve(value => {
      seen.push(value)
      server.pause()
    })
    client.sendAll([1, 2])
    await expect.poll(() => seen).toEqual([1])
    await loopTurns(5)
    expect(seen).toEqual([1])
    server.resume()
    await expect.poll(() => seen).toEqual([1, 2])
  })
})

describe('serve on a channel over a Duplex', () => {
  it('replies', async () => {
    const [forth, back] = [new PassThrough(), new PassThrough()]
    const options = { protocol: 'lines', encoding: 'json' } as const
    const client = track(over(Duplex.from({ readable: back, writable: forth }), options))
    const server = track(over(Duplex.from({ readable: forth, writable: back }), options))
    void server.serve(async value => ({ re: value }))
    const replies = await Promise.all([1, 2].map(value => client.request(value)))
    expect(replies.map(({ value }) => value)).toEqual([{ re: 1 }, { re: 2 }])
  })
})

describe('the arguments of serve', () => {
  it.each([
    [[undefined], /serve takes a handler, not undefined/],
    [[() => 1, null], /serve takes its options as an object, not null/],
    [
      [() => 1, { parallel: 2 }],
      /serve has no option parallel: it has concurrency, onError and signal/,
    ],
    [[() => 1, { concurrency: '2' }], /concurrency must be a number, not '2'/],
    [[() => 1, { onError: 1 }], /onError must be a function, not 1/],
    [[() => 1, { signal: {} }], /signal must be an AbortSignal, not an object/],
  ])('are checked: %o', async (args, message) => {
    const [, server] = pair({ protocol: 'lines' })
    track(server)
    const [handler, options] = args as [never, never]
    await expect(server.serve(handler, options)).rejects.toThrow(TypeError)
    await expect(server.serve(handler, options)).rejects.toThrow(message)
    server.on('message', () => {})
  })

  it.each([0, -1, 1.5, 2 ** 31])('refuse a concurrency of %o', async concurrency => {
    const [, server] = pair({ protocol: 'lines' })
    track(server)
    await expect(server.serve(() => '', { concurrency })).rejects.toThrow(RangeError)
  })

  it.each([
    [[1, null], /Reply takes its options as an object, not null/],
    [[1, { fd: 1 }], /Reply has no option fd: it has fds/],
    [[1, { fds: 5 }], /fds of a Reply must be an FdSet or an array of descriptors, not 5/],
  ])('of Reply are checked: %o', (args, message) => {
    const [value, options] = args as [unknown, never]
    expect(() => new Reply(value, options)).toThrow(message)
  })
})
