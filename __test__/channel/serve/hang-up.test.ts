import { once } from 'node:events'
import { connect, type Listener, listen, over, pair, type ServeContext } from 'fdwire'
import { describe, expect, it } from 'vitest'
import {
  destroyChannelsAfterEach,
  errorWithCode,
  loopTurns,
  track,
} from '../../support/channels.js'
import { deferred } from '../../support/deferred.js'
import { streamPair } from '../../support/duplex.js'
import { cleanUpAfterEach, nodePeer, temporaryDirectory } from '../../support/processes.js'
import { afterTest, runCleanupsAfterEach, whenClosed } from '../../support/streams.js'

destroyChannelsAfterEach()
cleanUpAfterEach()
runCleanupsAfterEach()

const PEER_CLOSED = errorWithCode('PEER_CLOSED')

const STREAM = { protocol: 'lines', encoding: 'json' } as const
const KINDS = {
  'unix stream': STREAM,
  seqpacket: { protocol: 'jsoncomm', type: 'seqpacket' },
  tcp: STREAM,
} as const

type Kind = keyof typeof KINDS
const kinds = Object.keys(KINDS) as Kind[]

/** Listens on a socket of a kind. */
async function listenOn(kind: Kind): Promise<Listener> {
  const address = kind === 'tcp' ? { host: '127.0.0.1', port: 0 } : `${temporaryDirectory()}/socket`
  const listener = (await listen(address as never, KINDS[kind] as never)) as unknown as Listener
  afterTest(() => listener.close())
  return listener
}

/** Starts a client process that reads nothing. */
async function startClient(kind: Kind, listener: Listener) {
  const peer = nodePeer({ options: KINDS[kind] })
  await peer.request({ call: 'connect', path: listener.address })
  return peer
}

/** Handlers that wait, and their contexts. */
function waitingHandlers() {
  const contexts: ServeContext[] = []
  const gate = deferred<string>()
  const handler = (value: unknown, _: unknown, context: ServeContext) => {
    if (value === 'answer at once') return 'unread'
    contexts.push(context)
    void context.signal.aborted
    return gate.promise
  }
  return { contexts, gate, handler }
}

describe('the signal of a running handler', () => {
  it.each(kinds)('is aborted when the client is killed (%s)', async kind => {
    const listener = await listenOn(kind)
    const { contexts, gate, handler } = waitingHandlers()
    void listener.serve(handler as never)
    const client = await startClient(kind, listener)
    // TCP tells a dead client from one that half-closes only if it resets the connection: here
    // because it has not read a reply.
    if (kind === 'tcp') await client.request({ call: 'send', value: 'answer at once' })
    await client.request({ call: 'send', value: 'wait' })
    await expect.poll(() => contexts.length, { timeout: 20_000 }).toBe(1)
    const { signal, channel } = contexts[0] as ServeContext
    expect(signal.aborted).toBe(false)
    const closed = whenClosed(channel as never)
    const aborted = once(signal, 'abort')
    await client.stop('SIGKILL')
    await aborted
    if (kind === 'tcp') expect(signal.reason).toMatchObject({ code: 'ECONNRESET' })
    else expect(signal.reason).toEqual(PEER_CLOSED)
    gate.resolve('late')
    await closed
  })

  it.each(kinds)(
    'is aborted while requests are unread, because too many handlers run (%s)',
    async kind => {
      const listener = await listenOn(kind)
      const { contexts, gate, handler } = waitingHandlers()
      void listener.serve(handler as never, { concurrency: 1 })
      const client = await startClient(kind, listener)
      await client.request({ call: 'send', value: 'answer at once' })
      for (const value of [1, 2, 3]) await client.request({ call: 'send', value })
      await expect.poll(() => contexts.length, { timeout: 20_000 }).toBe(1)
      const { signal, channel } = contexts[0] as ServeContext
      const closed = whenClosed(channel as never)
      const aborted = once(signal, 'abort')
      await client.stop('SIGKILL')
      await aborted
      gate.resolve('late')
      await closed
      // The handlers of requests that are read afterwards learn it too.
      for (const context of contexts) expect(context.signal.aborted).toBe(true)
    },
  )

  it.each(['unix stream', 'seqpacket'] as const)(
    'is aborted when the client closes (%s)',
    async kind => {
      const [client, server] = pair(KINDS[kind] as typeof STREAM)
      track(client)
      const { contexts, gate, handler } = waitingHandlers()
      void track(server).serve(handler as never)
      client.send('wait')
      await expect.poll(() => contexts.length).toBe(1)
      const aborted = once(contexts[0]?.signal as AbortSignal, 'abort')
      client.destroy()
      await aborted
      expect([contexts[0]?.signal.reason, server.closed]).toEqual([PEER_CLOSED, false])
      const closed = whenClosed(server)
      gate.resolve('late')
      await closed
    },
  )

  it('is aborted when the stream below the channel closes', async () => {
    const [near, far] = streamPair()
    const server = track(over(far, { ...STREAM, allowHalfOpen: true }))
    const client = track(over(near, STREAM))
    const { contexts, gate, handler } = waitingHandlers()
    void server.serve(handler as never)
    client.send('wait')
    await expect.poll(() => contexts.length).toBe(1)
    const aborted = once(contexts[0]?.signal as AbortSignal, 'abort')
    far.destroy()
    await aborted
    expect(contexts[0]?.signal.reason).toEqual(PEER_CLOSED)
    gate.resolve('late')
  })

  it('is aborted although it is first read after the client has closed', async () => {
    const [client, server] = pair(STREAM)
    const gate = deferred<string>()
    const contexts: ServeContext[] = []
    const serving = track(server).serve((_, __, context) => {
      contexts.push(context)
      return gate.promise
    })
    const ended = once(server, 'end')
    track(client).send('wait')
    await expect.poll(() => contexts.length).toBe(1)
    client.destroy()
    await ended
    const signal = contexts[0]?.signal as AbortSignal
    if (!signal.aborted) await once(signal, 'abort')
    expect(signal.reason).toEqual(PEER_CLOSED)
    gate.resolve('late')
    await serving
  })
})

describe('a client that has only half-closed the connection', () => {
  it.each(kinds)(
    'aborts no signal, gets its replies, and aborts when it closes (%s)',
    async kind => {
      const listener = await listenOn(kind)
      const { contexts, gate, handler } = waitingHandlers()
      void listener.serve(handler as never)
      const client = track(
        await connect(
          listener.address as string,
          { ...KINDS[kind], allowHalfOpen: true } as object as typeof STREAM,
        ),
      )
      const reply = client.request('wait')
      await expect.poll(() => contexts.length).toBe(1)
      const { signal, channel } = contexts[0] as ServeContext
      const ended = once(channel, 'end')
      client.end()
      await ended
      await loopTurns(10)
      expect([signal.aborted, channel.closed]).toEqual([false, false])
      gate.resolve('whole reply')
      expect((await reply).value).toBe('whole reply')
      if (!signal.aborted) await once(signal, 'abort')
    },
  )

  it.each(['unix stream', 'seqpacket'] as const)(
    'aborts the signal when it dies before its reply (%s)',
    async kind => {
      const [client, server] = pair({
        ...KINDS[kind],
        allowHalfOpen: true,
      } as object as typeof STREAM)
      const { contexts, handler } = waitingHandlers()
      void track(server).serve(handler as never)
      track(client).send('wait')
      await expect.poll(() => contexts.length).toBe(1)
      const { signal } = contexts[0] as ServeContext
      const ended = once(server, 'end')
      client.end()
      await ended
      await loopTurns(10)
      expect(signal.aborted).toBe(false)
      const aborted = once(signal, 'abort')
      client.destroy()
      await aborted
      expect(signal.reason).toEqual(PEER_CLOSED)
    },
  )
})
