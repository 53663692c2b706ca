import { once } from 'node:events'
import { type Channel, connect, listen } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode, loopTurns, track } from '../support/channels.js'
import { deferred } from '../support/deferred.js'
import { abstractName, afterTest, runCleanupsAfterEach } from '../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()

const LINES = { protocol: 'lines', encoding: 'json' } as const
const CONFLICT = errorWithCode('CONSUMER_CONFLICT')

async function server() {
  const listener = await listen(abstractName(), LINES)
  afterTest(() => listener.close())
  const client = async () => track(await connect(listener.address as string, LINES))
  return { listener, client }
}

describe('listener.serve', () => {
  it('serves every connection, each in its own order', async () => {
    const { listener, client } = await server()
    void listener.serve(value => ({ re: value }))
    const clients = await Promise.all(Array.from({ length: 5 }, client))
    const replies = await Promise.all(clients.map((one, i) => one.request(i)))
    expect(replies.map(({ value }) => value)).toEqual(clients.map((_, re) => ({ re })))
  })

  it('absorbs the errors of a channel: the others are served', async () => {
    const { listener, client } = await server()
    void listener.serve(value => {
      if (value === 'fail') throw new Error('boom')
      return value
    })
    const [bad, good] = [await client(), await client()]
    await expect(bad.request('fail')).rejects.toEqual(errorWithCode('PEER_CLOSED'))
    expect((await good.request('good')).value).toBe('good')
    await expect.poll(() => listener.connections).toBe(1)
  })

  it('publishes the error of a channel on diagnostics_channel, as fdwire:close', async () => {
    const { subscribe, unsubscribe } = await import('node:diagnostics_channel')
    const published: { channel: Channel; error: Error | undefined }[] = []
    const onClose = (message: unknown) => published.push(message as (typeof published)[0])
    subscribe('fdwire:close', onClose)
    const { listener, client } = await server()
    const failure = new Error('boom')
    const channels: Channel[] = []
    listener.on('connection', channel => channels.push(channel as Channel))
    void listener.serve(() => {
      throw failure
    })
    const bad = await client()
    await bad.request('fail').catch(() => {})
    await expect.poll(() => published.some(({ error }) => error === failure)).toBe(true)
    expect(published.find(({ error }) => error === failure)?.channel).toBe(channels[0])
    unsubscribe('fdwire:close', onClose)
  })

  it('resolves when the listener is closed; its channels are served further', async () => {
    const { listener, client } = await server()
    const serving = listener.serve(value => value)
    const one = await client()
    await one.request(1)
    await listener.close()
    expect(await serving).toBe(undefined)
    expect((await one.request(2)).value).toBe(2)
  })

  it('after the signal accepts nothing, and resolves when the replies are flushed', async () => {
    const { listener, client } = await server()
    const gate = deferred<string>()
    const abort = new AbortController()
    const channels: Channel[] = []
    listener.on('connection', channel => channels.push(channel as Channel))
    const serving = listener.serve(() => gate.promise, { signal: abort.signal })
    const reply = (await client()).request(1)
    await expect.poll(() => channels[0]?.stats.handlers).toBe(1)
    let isDone = false
    void serving.then(() => {
      isDone = true
    })
    abort.abort()
    await loopTurns(5)
    expect(isDone).toBe(false)
    gate.resolve('last')
    await serving
    expect((await reply).value).toBe('last')
    expect([listener.closed, channels[0]?.closed]).toEqual([false, false])
    channels[0]?.destroy()
  })

  it('causes no warning and no leak for thousands of connections with one signal', async () => {
    const { listener, client } = await server()
    const abort = new AbortController()
    const warnings: Error[] = []
    const onWarning = (warning: Error) => warnings.push(warning)
    process.on('warning', onWarning)
    const serving = listener.serve(value => value, { signal: abort.signal })
    for (let i = 0; i < 200; i++) {
      const clients = await Promise.all(Array.from({ length: 10 }, client))
      await Promise.all(clients.map(one => one.request(1)))
      for (const one of clients) one.destroy()
    }
    await expect.poll(() => listener.connections).toBe(0)
    abort.abort()
    await serving
    process.off('warning', onWarning)
    expect(warnings).toEqual([])
  }, 60_000)

  it('lets a connection listener see the channels, but no iterator and no second serve', async () => {
    const { listener, client } = await server()
    void listener.serve(value => value)
    const seen: unknown[] = []
    listener.on('connection', channel => seen.push(channel))
    await expect(listener.serve(() => 1)).rejects.toEqual(CONFLICT)
    await expect(listener[Symbol.asyncIterator]().next()).rejects.toEqual(CONFLICT)
    expect((await (await client()).request(1)).value).toBe(1)
    expect(seen.length).toBe(1)
  })

  it('is refused while an iterator takes the connections, and on a closed listener', async () => {
    const { listener } = await server()
    const next = listener[Symbol.asyncIterator]().next()
    await expect(listener.serve(() => 1)).rejects.toEqual(CONFLICT)
    await listener.close()
    await next
    await expect(listener.serve(() => 1)).rejects.toEqual(errorWithCode('CLOSED'))
    await expect(listener.serve(1 as never)).rejects.toThrow(/serve takes a handler, not 1/)
  })

  it('lets a handler close its own channel', async () => {
    const { listener, client } = await server()
    void listener.serve((value, _, { channel }) => {
      if (value === 'bye') void channel.close()
      return value
    })
    const one = await client()
    const closed = once(one, 'close')
    expect((await one.request('hello')).value).toBe('hello')
    one.send('bye')
    await closed
  })
})
