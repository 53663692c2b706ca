import { once } from 'node:events'
import { connect, listen, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import {
  boundChannel,
  connectTo,
  destroyChannelsAfterEach,
  errorWithCode,
  loopTurns,
  track,
} from '../../support/channels.js'
import { deferred } from '../../support/deferred.js'
import { whenClosed } from '../../support/streams.js'

destroyChannelsAfterEach()

function connected(options: object = {}) {
  const [client, server] = pair({ protocol: 'lines', encoding: 'json', ...options })
  return [track(client), track(server)] as const
}

const CONFLICT = errorWithCode('CONSUMER_CONFLICT')

describe('the promise of serve', () => {
  it('resolves at the end of the channel', async () => {
    for (const end of ['close', 'destroy'] as const) {
      const [client, server] = connected()
      const serving = server.serve(() => 1)
      await client[end]()
      expect(await serving).toBe(undefined)
      if (!server.closed) await once(server, 'close')
    }
  })

  it('resolves when this side closes the channel or detaches it', async () => {
    for (const end of ['close', 'destroy', 'detach'] as const) {
      const [, server] = connected()
      const serving = server.serve(() => 1)
      const fd = server[end]()
      expect(await serving).toBe(undefined)
      if (typeof fd === 'number') (await import('node:fs')).closeSync(fd)
    }
  })

  it('resolves at once if the peer has ended before, and rejects on a closed channel', async () => {
    const [client, server] = connected()
    const ended = once(server, 'close')
    client.destroy()
    await ended
    expect(await server.serve(() => 1)).toBe(undefined)
    const [, closed] = connected()
    await closed.close()
    await expect(closed.serve(() => 1)).rejects.toEqual(errorWithCode('CLOSED'))
  })

  it('resolves after the signal, when the replies of running handlers are sent; the channel stays open', async () => {
    const [client, server] = connected()
    const gates = [deferred<string>(), deferred<string>()]
    const abort = new AbortController()
    let calls = 0
    const serving = server.serve(() => gates[calls++]?.promise, { signal: abort.signal })
    let isDone = false
    void serving.then(() => {
      isDone = true
    })
    const replies = Promise.all([client.request(1), client.request(2)])
    await expect.poll(() => calls).toBe(2)
    abort.abort()
    client.send('not handled')
    gates[1]?.resolve('two')
    await loopTurns(5)
    expect([isDone, calls]).toEqual([false, 2])
    gates[0]?.resolve('one')
    await serving
    expect((await replies).map(({ value }) => value)).toEqual(['one', 'two'])
    expect([server.closed, server.stats.queued, calls]).toEqual([false, 0, 2])
    // What was not handled is for the next consumer.
    expect((await server.receive())?.value).toBe('not handled')
    server.on('message', value => server.send(value))
    expect((await client.request('again')).value).toBe('again')
  })

  it('resolves at once for a signal that is aborted, and takes nothing', async () => {
    const [client, server] = connected()
    client.send(1)
    expect(await server.serve(() => 1, { signal: AbortSignal.abort() })).toBe(undefined)
    expect((await server.receive())?.value).toBe(1)
  })

  it('resolves after the signal on a datagram socket too', async () => {
    const server = await boundChannel()
    const client = await connectTo(server)
    const gate = deferred<string>()
    const abort = new AbortController()
    const serving = server.serve(() => gate.promise, { signal: abort.signal })
    const reply = client.request(1)
    await expect.poll(() => server.stats.handlers).toBe(1)
    abort.abort()
    gate.resolve('last')
    await serving
    expect((await reply).value).toBe('last')
    client.send('next')
    expect((await server.receive())?.value).toBe('next')
  })

  it('resolves after the signal if the peer has ended meanwhile, and the channel closes', async () => {
    const [client, server] = connected()
    const gate = deferred<string>()
    const abort = new AbortController()
    const closed = whenClosed(server)
    const serving = server.serve(() => gate.promise, { signal: abort.signal })
    client.send(1)
    await expect.poll(() => server.stats.handlers).toBe(1)
    abort.abort()
    client.end()
    // Without a consumer the end is noticed all the same.
    await once(server, 'end')
    gate.resolve('last')
    await serving
    await closed
  })

  it('can be followed by another serve', async () => {
    const [client, server] = connected()
    for (const name of ['first', 'second', 'third']) {
      const abort = new AbortController()
      const serving = server.serve(() => name, { signal: abort.signal })
      expect((await client.request(1)).value).toBe(name)
      abort.abort()
      await serving
    }
  })
})

describe('the signal of a handler', () => {
  it('is aborted when the channel closes, with its error', async () => {
    const failure = new Error('fatal')
    for (const error of [undefined, failure]) {
      const [client, server] = connected()
      const reasons: unknown[] = []
      void server.serve(async (_, __, { signal }) => {
        await once(signal, 'abort')
        reasons.push(signal.reason)
      })
      client.send(1)
      await expect.poll(() => server.stats.handlers).toBe(1)
      server.destroy(error)
      await expect.poll(() => reasons.length).toBe(1)
      if (error === undefined) expect(reasons[0]).toMatchObject({ name: 'AbortError' })
      else expect(reasons[0]).toBe(failure)
    }
  })

  it('is not aborted by the signal of serve', async () => {
    const [client, server] = connected()
    const gate = deferred()
    const abort = new AbortController()
    const serving = server.serve(
      async (_, __, { signal }) => {
        await gate.promise
        return signal.aborted
      },
      { signal: abort.signal },
    )
    const reply = client.request(1)
    await expect.poll(() => server.stats.handlers).toBe(1)
    abort.abort()
    gate.resolve()
    expect((await reply).value).toBe(false)
    await serving
  })
})

describe('half-close', () => {
  it.each(['unix', 'tcp'])('waits for the replies of running handlers (%s)', async family => {
    const address = family === 'tcp' ? { host: '127.0.0.1', port: 0 } : null
    const options = { protocol: 'lines', encoding: 'json' } as const
    const listener = await listen(address as never, options)
    const gates = [deferred<string>(), deferred<string>()]
    let calls = 0
    void listener.serve(() => gates[calls++]?.promise)
    const client = track(
      await connect(listener.address as string, { ...options, allowHalfOpen: true }),
    )
    const replies = [client.request(1), client.request(2)]
    client.end()
    await expect.poll(() => calls).toBe(2)
    await loopTurns(10)
    expect(listener.connections).toBe(1)
    gates[1]?.resolve('two')
    await loopTurns(5)
    gates[0]?.resolve('one')
    expect((await Promise.all(replies)).map(({ value }) => value)).toEqual(['one', 'two'])
    expect(await client.receive()).toBe(null)
    await expect.poll(() => listener.connections).toBe(0)
    await listener.close()
  })

  it('waits for requests that are not taken yet, because too many handlers run', async () => {
    const [client, server] = connected({ allowHalfOpen: true })
    const gates = Array.from({ length: 4 }, () => deferred<number>())
    let calls = 0
    const serving = server.serve(() => gates[calls++]?.promise, { concurrency: 1 })
    const replies = gates.map((_, i) => client.request(i))
    client.end()
    for (const [i, gate] of gates.entries()) {
      await expect.poll(() => calls).toBe(i + 1)
      gate.resolve(i)
    }
    expect((await Promise.all(replies)).map(({ value }) => value)).toEqual([0, 1, 2, 3])
    server.end()
    await serving
  })

  it('closes the channel with its error if a handler fails after the end', async () => {
    const [client, server] = connected()
    const gate = deferred<never>()
    const serving = server.serve(() => gate.promise)
    client.send(1)
    client.end()
    await once(server, 'end')
    const failure = new Error('boom')
    gate.reject(failure)
    await expect(serving).rejects.toBe(failure)
  })
})

describe('while serving', () => {
  it('no other consumer can take messages', async () => {
    const [client, server] = connected()
    const abort = new AbortController()
    const serving = server.serve(value => value, { signal: abort.signal })
    expect(() => server.on('message', () => {})).toThrow(CONFLICT)
    expect(() => server.once('message', () => {})).toThrow(CONFLICT)
    await expect(server.receive()).rejects.toEqual(CONFLICT)
    await expect(server[Symbol.asyncIterator]().next()).rejects.toEqual(CONFLICT)
    await expect(server.serve(() => 1)).rejects.toEqual(CONFLICT)
    await expect(server.request(1)).rejects.toEqual(CONFLICT)
    expect(server.stats.sent).toBe(0)
    expect((await client.request('works')).value).toBe('works')
    abort.abort()
    await serving
    server.on('message', () => {})
  })

  it('request with match takes its reply, and the handler everything else', async () => {
    const [client, server] = connected()
    const seen: unknown[] = []
    void server.serve(value => {
      seen.push(value)
      return { re: value }
    })
    client.on('message', value => {
      if ((value as { ask?: number }).ask) client.send({ answer: 42 })
    })
    const answer = server.request(
      { ask: 1 },
      { match: ({ value }) => (value as { answer?: number }).answer !== undefined },
    )
    client.send('request')
    expect((await answer).value).toEqual({ answer: 42 })
    await expect.poll(() => seen).toEqual(['request'])
  })

  it('other listeners than those for messages work', async () => {
    const [client, server] = connected()
    void server.serve(value => value)
    const ended = once(server, 'end')
    client.end()
    await ended
  })

  it('a datagram socket can send requests to peers that it does not serve', async () => {
    const [server, upstream] = [await boundChannel(), await boundChannel()]
    const client = await connectTo(server)
    void upstream.serve(value => ({ upstream: value }))
    const to = upstream.localAddress as string
    void server.serve(async value => (await server.request(value, { to })).value)
    expect((await client.request('x')).value).toEqual({ upstream: 'x' })
    const served = client.localAddress as string
    await expect(server.request('y', { to: served })).rejects.toEqual(CONFLICT)
  })

  it('a connected datagram socket cannot send requests without match', async () => {
    const peer = await boundChannel()
    const channel = await connectTo(peer)
    void channel.serve(() => 1)
    await expect(channel.request(1)).rejects.toEqual(CONFLICT)
  })
})

describe('serve is refused', () => {
  it('while there is another consumer', async () => {
    const [, server] = connected()
    server.on('message', () => {})
    await expect(server.serve(() => 1)).rejects.toEqual(CONFLICT)
    server.removeAllListeners('message')
    const waiting = server.receive()
    await expect(server.serve(() => 1)).rejects.toEqual(CONFLICT)
    server.send('to end the wait')
    const [client, other] = connected()
    const next = other[Symbol.asyncIterator]().next()
    await expect(other.serve(() => 1)).rejects.toEqual(CONFLICT)
    client.send(1)
    await next
    server.destroy()
    await waiting
  })
})

describe('detach', () => {
  it('is refused while a request is not answered', async () => {
    const [client, server] = connected()
    const gate = deferred<string>()
    const serving = server.serve(() => gate.promise)
    const reply = client.request(1)
    await expect.poll(() => server.stats.handlers).toBe(1)
    expect(() => server.detach()).toThrow(/1 requests of serve\(\) are not answered/)
    gate.resolve('done')
    await reply
    const fd = server.detach()
    await serving
    ;(await import('node:fs')).closeSync(fd)
  })
})
