/** `serve` on a channel whose connection is replaced. */
import { once } from 'node:events'
import { openSync } from 'node:fs'
import { bind, type Channel, Reply, type ServeContext } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode, track } from '../../support/channels.js'
import { cleanUpAfterEach, countOpenFds, waitForOpenFds } from '../../support/processes.js'
import { client, lost, reconnected, Server } from '../../support/reconnecting.js'
import { abstractName, runCleanupsAfterEach, waitUntil } from '../../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()
cleanUpAfterEach()

const KINDS: [string, object][] = [
  ['a stream', { protocol: 'lines' }],
  ['a seqpacket socket', { protocol: 'jsoncomm', type: 'seqpacket' }],
]

/** The connection of the server to its only client. */
async function connectionOf(server: Server): Promise<Channel> {
  await waitUntil(() => server.connections.length === 1)
  return server.connections[0] as Channel
}

describe.each(KINDS)('serve on %s with reconnect', (_, options) => {
  /** Returns a server and its client, which serves. */
  async function start(
    handler: (value: unknown, fds: unknown, context: ServeContext) => unknown,
    serve: object = {},
  ) {
    const server = await new Server(abstractName(), options).start()
    const { channel } = await client(server.address, options)
    void channel.serve(handler as never, serve)
    return { server, channel, connection: await connectionOf(server) }
  }

  /** Replaces the connection. Returns the server's side of the new one. */
  async function replace(server: Server, channel: Channel<unknown, string>): Promise<Channel> {
    await lost(channel, () => server.stop())
    await reconnected(channel, () => server.start())
    return connectionOf(server)
  }

  it('drops the replies to requests of a lost connection, and aborts their signal', async () => {
    const settlers = new Map<unknown, (reply: string) => void>()
    const contexts: ServeContext[] = []
    const { server, channel, connection } = await start((value, _, context) => {
      contexts.push(context)
      if (value === 'quick') return 'quick reply'
      return new Promise(resolve => settlers.set(value, resolve))
    })
    connection.send('slow')
    connection.send('slower')
    await waitUntil(() => settlers.size === 2)
    // The second reply waits for the first one.
    settlers.get('slower')?.('late reply')
    expect(contexts[0]?.signal.aborted).toBe(false)
    const next = await replace(server, channel)
    expect(contexts[0]?.signal.reason).toEqual(errorWithCode('PEER_CLOSED'))
    expect(contexts[1]?.signal.aborted).toBe(true)
    next.send('quick')
    next.send('quick')
    await waitUntil(() => contexts.length === 4)
    settlers.get('slow')?.('late reply')
    next.send('quick')
    await waitUntil(() => server.received.length === 3)
    expect(server.received).toEqual(['quick reply', 'quick reply', 'quick reply'])
    expect(contexts[4]?.signal.aborted).toBe(false)
    expect(channel.stats).toMatchObject({ droppedReplies: 2, failedRequests: 0 })
  })

  it('sends no reply that was queued for a lost connection', async () => {
    const large = 'x'.repeat(50_000)
    const { server, channel, connection } = await start(value => `${value}${large}`)
    let undelivered = 0
    channel.on('undelivered', error => {
      expect(error).toEqual(errorWithCode('PEER_CLOSED'))
      undelivered++
    })
    connection.pause()
    for (let request = 0; request < 100; request++) connection.send('old')
    await waitUntil(() => channel.stats.queued > 0)
    const { queued } = channel.stats
    const next = await replace(server, channel)
    server.received.length = 0
    next.send('new')
    await waitUntil(() => server.received.length === 1)
    expect(server.received).toEqual([`new${large}`])
    expect(undelivered).toBeGreaterThanOrEqual(queued)
  })

  it('handles requests that were not delivered before the loss, and drops their replies', async () => {
    const handled: unknown[] = []
    let release = () => {}
    const released = new Promise<void>(resolve => {
      release = resolve
    })
    const { server, channel, connection } = await start(
      async value => {
        handled.push(value)
        if (String(value).startsWith('old')) await released
        return `reply to ${value}`
      },
      { concurrency: 1 },
    )
    for (let request = 0; request < 5; request++) connection.send(`old ${request}`)
    await waitUntil(() => channel.stats.unread === 4)
    const next = await replace(server, channel)
    next.send('new')
    release()
    await waitUntil(() => server.received.length === 1)
    expect(server.received).toEqual(['reply to new'])
    expect(handled).toEqual(['old 0', 'old 1', 'old 2', 'old 3', 'old 4', 'new'])
    expect(channel.stats.droppedReplies).toBe(5)
  })

  it('continues if a handler of a lost connection fails', async () => {
    let fail: ((error: Error) => void) | undefined
    const { server, channel, connection } = await start(value =>
      value === 'quick'
        ? 'reply'
        : new Promise((_, reject) => {
            fail = reject
          }),
    )
    connection.send('slow')
    await waitUntil(() => fail !== undefined)
    const next = await replace(server, channel)
    fail?.(new Error('of a handler'))
    expect((await next.request('quick')).value).toBe('reply')
    expect(channel.stats.failedRequests).toBe(1)
  })
})

it('closes the descriptors of replies that are dropped with their connection', async () => {
  const options = { protocol: 'jsoncomm', type: 'seqpacket' }
  const server = await new Server(abstractName(), options).start()
  const { channel } = await client(server.address, options)
  const settlers: (() => void)[] = []
  void channel.serve(
    () =>
      new Promise(resolve => {
        settlers.push(() =>
          resolve(new Reply('late', { fds: [openSync('/dev/null', 'r')] }) as never),
        )
      }),
  )
  const connection = await connectionOf(server)
  for (let request = 0; request < 3; request++) connection.send('request')
  await waitUntil(() => settlers.length === 3)
  const open = countOpenFds()
  // Two replies wait for the first one.
  settlers[1]?.()
  settlers[2]?.()
  await waitUntil(() => countOpenFds() === open + 2)
  await lost(channel as never, () => server.stop())
  await reconnected(channel as never, () => server.start())
  await connectionOf(server)
  await waitForOpenFds(open)
  settlers[0]?.()
  await waitUntil(() => channel.stats.droppedReplies === 3)
  await waitForOpenFds(open)
})

it.each(['keep', 'refuse'])(
  'sends no reply to the next peer of a datagram socket with queue: %s, if it detects the loss',
  async queue => {
    const options = { protocol: 'jsoncomm', type: 'dgram' } as const
    const address = abstractName() as string
    const first = track(await bind(address, options))
    // The long delay keeps the client from noticing the loss before it replies.
    const reconnect = { minDelay: 30, maxDelay: 60_000, queue }
    const { channel, events } = await client(address, options, reconnect)
    let reply: ((text: string) => void) | undefined
    void channel.serve(
      value =>
        (value === 'slow' ? new Promise(resolve => (reply = resolve)) : `to ${value}`) as never,
    )
    channel.send('hello')
    const hello = await first.receive()
    first.send('slow', { to: hello?.from as string })
    await waitUntil(() => reply !== undefined)
    first.destroy()
    const isLost = once(channel, 'disconnect')
    reply?.('late reply')
    await isLost
    const second = track(await bind(address, options))
    await waitUntil(() => events.at(-1)?.[0] === 'reconnect')
    channel.send('hello again')
    const again = await second.receive()
    expect(again?.value).toBe('hello again')
    second.send('new', { to: again?.from as string })
    expect((await second.receive())?.value).toBe('to new')
  },
)
