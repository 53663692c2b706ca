import { pair, Reply } from 'fdwire'
import { describe, expect, it } from 'vitest'
import {
  boundChannel,
  connectTo,
  destroyChannelsAfterEach,
  errorWithCode,
  track,
} from '../../support/channels.js'
import { deferred } from '../../support/deferred.js'
import { whenClosed } from '../../support/streams.js'

destroyChannelsAfterEach()

function connected() {
  const [client, server] = pair({ protocol: 'lines', encoding: 'json' })
  return [track(client), track(server)] as const
}

/** Handlers that fail with an error in every way. */
const FAILURES: [string, (error: unknown) => unknown][] = [
  [
    'throws',
    error => {
      throw error
    },
  ],
  ['rejects', error => Promise.reject(error)],
  [
    'is a thenable that throws',
    error => ({
      // biome-ignore lint/suspicious/noThenProperty: it is what the test is about
      get then() {
        throw error
      },
    }),
  ],
]

describe.each(FAILURES)('a handler that %s', (_, fail) => {
  it('goes to onError once, with the value and the context, whose reply is sent', async () => {
    const [client, server] = connected()
    const failure = new Error('boom')
    const calls: unknown[][] = []
    let context: unknown
    void server.serve(
      (_, __, given) => {
        context = given
        return fail(failure)
      },
      {
        onError: (...args) => {
          calls.push(args)
          return { error: (args[0] as Error).message }
        },
      },
    )
    expect((await client.request({ n: 1 })).value).toEqual({ error: 'boom' })
    expect(calls).toEqual([[failure, { n: 1 }, context]])
    expect(server.closed).toBe(false)
  })

  it.each([
    ['there is no onError', undefined],
    ['onError returns undefined', () => undefined],
    ['onError resolves to undefined', async () => {}],
    [
      'onError throws',
      () => {
        throw new Error('second')
      },
    ],
    ['onError rejects', () => Promise.reject(new Error('second'))],
    ['the reply of onError fails too', () => 2n],
    ['the later reply of onError fails too', async () => new Reply('x', { fds: [9_999] })],
  ])('destroys the channel with the error if %s', async (_, onError) => {
    const [client, server] = connected()
    const failure = new Error('boom')
    const serving = server.serve(() => fail(failure) as never, { onError })
    const closed = whenClosed(server)
    await expect(client.request(1)).rejects.toEqual(errorWithCode('PEER_CLOSED'))
    await expect(serving).rejects.toBe(failure)
    await closed
    await expect(server.receive()).rejects.toBe(failure)
  })
})

describe('serve', () => {
  it('gives a reply that cannot be encoded to onError once', async () => {
    const [client, server] = connected()
    const errors: unknown[] = []
    void server.serve(value => (value === 'sync' ? 1n : Promise.resolve(1n)), {
      onError: (error, value) => {
        errors.push(error, value)
        return 'instead'
      },
    })
    expect((await client.request('sync')).value).toBe('instead')
    expect((await client.request('async')).value).toBe('instead')
    const unencodable = errorWithCode('UNENCODABLE')
    expect(errors).toEqual([unencodable, 'sync', unencodable, 'async'])
  })

  it('keeps the order if onError is slow, or if a reply fails that has waited', async () => {
    const [client, server] = connected()
    const first = deferred<unknown>()
    const instead = deferred<unknown>()
    void server.serve(value => (value === 1 ? first.promise : value === 2 ? 2n : value), {
      onError: () => instead.promise,
    })
    const replies = Promise.all([1, 2, 3].map(value => client.request(value)))
    await expect.poll(() => server.stats.handlers).toBe(1)
    first.resolve('one')
    await expect.poll(() => server.stats.sent).toBe(1)
    instead.resolve('two')
    expect((await replies).map(({ value }) => value)).toEqual(['one', 'two', 3])
  })

  it('wraps what is thrown and is no Error', async () => {
    const [, server] = connected()
    const [client, other] = connected()
    server.destroy()
    const serving = other.serve(() => {
      throw 'a text'
    })
    client.send(1)
    await expect(serving).rejects.toMatchObject({
      message: "The handler of serve has thrown 'a text'",
      cause: 'a text',
    })
  })

  it("takes the channel's error: without a listener nothing is emitted or unhandled", async () => {
    const [client, server] = connected()
    const serving = server.serve(() => 1)
    const failure = new Error('fatal')
    server.destroy(failure)
    await whenClosed(server)
    await expect(serving).rejects.toBe(failure)
    client.destroy()
  })

  it('marks the rejection of its promise as handled', async () => {
    const [client, server] = connected()
    void server.serve(() => {
      throw new Error('boom')
    })
    client.send(1)
    await whenClosed(server)
  })

  it("also emits 'error' if it has a listener", async () => {
    const [client, server] = connected()
    const errors: unknown[] = []
    server.on('error', error => errors.push(error))
    const failure = new Error('boom')
    void server.serve(() => {
      throw failure
    })
    client.send(1)
    await whenClosed(server)
    expect(errors).toEqual([failure])
  })

  it('reports an error of a handler to onError although the channel is closed by then', async () => {
    const [client, server] = connected()
    const gate = deferred<never>()
    const errors: unknown[] = []
    void server.serve(() => gate.promise, { onError: error => errors.push(error) })
    client.send(1)
    await expect.poll(() => server.stats.handlers).toBe(1)
    await server.close()
    const failure = new Error('late')
    gate.reject(failure)
    await expect.poll(() => errors).toEqual([failure])
  })

  it('does not report a reply that is too late because the channel is closed', async () => {
    const [client, server] = connected()
    const gate = deferred<string>()
    const errors: unknown[] = []
    void server.serve(() => gate.promise, { onError: error => errors.push(error) })
    client.send(1)
    await expect.poll(() => server.stats.handlers).toBe(1)
    await server.close()
    gate.resolve('late')
    await expect.poll(() => server.stats.handlers).toBe(0)
    expect(errors).toEqual([])
  })

  it('counts the request on an unconnected datagram socket, and goes on', async () => {
    const server = await boundChannel()
    const client = await connectTo(server)
    void server.serve(value => {
      if (value === 'fail') throw new Error('boom')
      if (value === 'fail later') return Promise.reject(new Error('boom'))
      if (value === 'unencodable') return 1n
      return value
    })
    for (const value of ['fail', 'fail later', 'unencodable']) client.send(value)
    expect((await client.request('good')).value).toBe('good')
    await expect.poll(() => server.stats.failedRequests).toBe(3)
    expect(server.closed).toBe(false)
  })

  it('counts a reply on an unconnected datagram socket whose receiver is gone', async () => {
    const server = await boundChannel()
    const client = await connectTo(server)
    const gate = deferred<string>()
    const errors: unknown[] = []
    void server.serve(() => gate.promise, {
      onError: error => {
        errors.push(error)
      },
    })
    client.send(1)
    await expect.poll(() => server.stats.handlers).toBe(1)
    await client.close()
    gate.resolve('to nobody')
    await expect.poll(() => server.stats.failedRequests).toBe(1)
    expect(errors).toEqual([errorWithCode('ECONNREFUSED')])
    const next = await connectTo(server)
    expect((await next.request(2)).value).toBe('to nobody')
  })
})
