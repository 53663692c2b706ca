import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { type Channel, type Listener, listen } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode, withFd } from '../support/channels.js'
import { settledMemory } from '../support/memory.js'
import {
  cleanUpAfterEach,
  countOpenFds,
  Peer,
  temporaryDirectory,
  testPath,
  waitForOpenFds,
} from '../support/processes.js'
import { client, FAST, lost, reconnected, Server } from '../support/reconnecting.js'
import { abstractName, afterTest, runCleanupsAfterEach, waitUntil } from '../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()
cleanUpAfterEach()

const FRAMES = { protocol: 'length_prefixed' } as const
const SEQPACKET = { protocol: 'raw', type: 'seqpacket' } as const
const PEER_CLOSED = errorWithCode('PEER_CLOSED')

const KINDS: [string, object, () => unknown][] = [
  ['a stream', FRAMES, abstractName],
  ['a stream at a path', { protocol: 'lines' }, () => join(temporaryDirectory(), 's')],
  ['a seqpacket socket', SEQPACKET, abstractName],
]

describe.each(KINDS)('reconnect of %s', (_, options, address) => {
  it('replaces a lost connection, and sends what was queued meanwhile, in order', async () => {
    const server = await new Server(address(), options).start()
    const { channel, events } = await client(server.address, options)
    channel.on('message', () => {})
    for (let round = 0; round < 10; round++) {
      await lost(channel, () => server.stop())
      expect(channel.fd).toBe(-1)
      channel.send(`${round} a`)
      channel.send(`${round} b`)
      await reconnected(channel, () => server.start())
      await waitUntil(() => server.received.length === 2 * (round + 1))
      expect(server.received.slice(-2)).toEqual([`${round} a`, `${round} b`])
    }
    expect(events.map(([name]) => name)).toEqual(
      Array.from({ length: 10 }, () => ['disconnect', 'reconnect']).flat(),
    )
  })

  it('connects again when it sends, although nobody reads what the peer has sent before', async () => {
    const server = await new Server(address(), options).start()
    const { channel } = await client(server.address, options)
    await waitUntil(() => server.connections.length === 1)
    server.connections[0]?.send('unread' as never)
    await server.stop()
    await reconnected(channel, async () => {
      await server.start()
      channel.send('first')
      // A stream notices the loss when it sends, a seqpacket socket queues the message.
      await waitUntil(() => server.connections.length === 1)
    })
    channel.send('second')
    await waitUntil(() => server.received.includes('second'))
  })

  it('rejects the requests in flight, and sends none of them again', async () => {
    const server = await new Server(address(), options).start()
    const { channel } = await client(server.address, options)
    const requests = ['one', 'two'].map(text => channel.request(text as never))
    const rejected = Promise.all(
      requests.map(request => expect(request).rejects.toEqual(PEER_CLOSED)),
    )
    await waitUntil(() => server.received.length === 2)
    await server.stop()
    await rejected
    await reconnected(channel, () => server.start())
    channel.send('three' as never)
    await waitUntil(() => server.received.length === 3)
    expect(server.received).toEqual(['one', 'two', 'three'])
  })

  it('keeps a request that was not sent, whose reply then arrives', async () => {
    const echo = (from: Channel, value: string) => from.send(`echo ${value}` as never)
    const server = await new Server(address(), options, echo).start()
    const { channel } = await client(server.address, options)
    channel.on('message', () => {})
    await lost(channel, () => server.stop())
    const requests = ['a', 'b'].map(text => channel.request(text as never))
    await server.start()
    const replies = await Promise.all(requests)
    expect(replies.map(({ value }) => String(value))).toEqual(['echo a', 'echo b'])
  })

  it("refuses messages with queue: 'refuse' and reports those that are dropped", async () => {
    const server = await new Server(address(), options).start()
    const { channel } = await client(server.address, options, { ...FAST, queue: 'refuse' })
    channel.on('message', () => {})
    await lost(channel, () => server.stop())
    expect(() => channel.send('lost' as never)).toThrow(PEER_CLOSED)
    await expect(channel.request('lost' as never)).rejects.toEqual(PEER_CLOSED)
    await reconnected(channel, () => server.start())
    channel.send('works' as never)
    await waitUntil(() => server.received.length === 1)
    expect(server.received).toEqual(['works'])
  })

  it("ends after maxAttempts: 'end' and null come only then", async () => {
    const server = await new Server(address(), options).start()
    const { channel, events } = await client(server.address, options, { ...FAST, maxAttempts: 3 })
    const undelivered: unknown[] = []
    channel.on('undelivered', error => undelivered.push(error))
    const message = channel.receive()
    await waitUntil(() => server.connections.length === 1)
    await lost(channel, () => server.stop())
    channel.send('never' as never)
    expect(await message).toBe(null)
    await once(channel, 'close')
    expect(events).toEqual([['disconnect', undefined], ['end'], ['close']])
    expect(undelivered).toEqual([PEER_CLOSED])
    expect(await channel.receive().catch(error => error)).toBe(null)
  })

  it('ends when the channel is closed or destroyed meanwhile', async () => {
    const server = await new Server(address(), options).start()
    const before = countOpenFds()
    for (const end of ['close', 'destroy'] as const) {
      const { channel, events } = await client(server.address, options)
      channel.on('message', () => {})
      await lost(channel, () => server.stop())
      await channel[end]()
      if (end === 'destroy') await once(channel, 'close')
      expect(events.map(([name]) => name)).toEqual(['disconnect', 'close'])
      await server.start()
    }
    await server.stop()
    await waitForOpenFds(before)
  })

  it('lets close() send the queue over the next connection', async () => {
    const server = await new Server(address(), options).start()
    const { channel } = await client(server.address, options)
    channel.on('message', () => {})
    await lost(channel, () => server.stop())
    channel.send('last' as never)
    const closed = channel.close()
    await server.start()
    await closed
    await waitUntil(() => server.received.length === 1)
    await expect(Promise.resolve(server.received)).resolves.toEqual(['last'])
  })

  it('refuses detach', async () => {
    const server = await new Server(address(), options).start()
    const { channel } = await client(server.address, options)
    expect(() => channel.detach()).toThrow(TypeError)
  })
})

describe('reconnect of a stream', () => {
  it('reports a message of which a part was sent, and starts to decode afresh', async () => {
    const name = join(temporaryDirectory(), 's')
    const half = createServer(socket => {
      // The beginning of a message, then the end.
      socket.write(Buffer.from([0, 0, 0, 9, 1]))
      socket.pause()
    })
    half.listen(name)
    await once(half, 'listening')
    const sockets: { destroy(): void }[] = []
    half.on('connection', socket => sockets.push(socket))
    const { channel, events } = await client(name, FRAMES)
    const undelivered: unknown[] = []
    channel.on('undelivered', error => undelivered.push(error))
    channel.on('message', () => {})
    const large = Buffer.alloc(4 * 1024 * 1024, 'x')
    channel.send(large as never)
    channel.send('after' as never)
    await waitUntil(() => channel.stats.inHand > 0 && channel.stats.queued > 0)
    await lost(channel, () => {
      for (const socket of sockets) socket.destroy()
      half.close()
    })
    expect(undelivered).toEqual([PEER_CLOSED])
    expect(channel.stats).toMatchObject({ undelivered: 1, queued: 1, inHand: 0 })
    expect(events[0]?.[0]).toBe('disconnect')
    const echo = (from: Channel, value: string) => from.send(`echo ${value}` as never)
    const server = await new Server(name, FRAMES, echo).start()
    const { value } = (await channel.receive()) as { value: Buffer }
    expect(value.toString()).toBe('echo after')
    expect(server.received).toEqual(['after'])
  })

  it('keeps queued descriptors', async () => {
    const options = { ...FRAMES, maxFds: 4 }
    const server = await new Server(abstractName(), options).start()
    const { channel } = await client(server.address, options)
    await lost(channel, () => server.stop())
    await withFd(fd => channel.send('with one' as never, { fds: [fd] }), '/dev/zero')
    await server.start()
    await waitUntil(() => server.connections.length === 1)
    const [connection] = server.connections as [Channel]
    const [value, fds] = await once(connection, 'message')
    expect([String(value), fds.length]).toEqual(['with one', 1])
    fds.close()
  })

  it('works over TCP', async () => {
    const first = await new Server({ host: '127.0.0.1', port: 0 }, FRAMES).start()
    const port = await (async () => {
      await first.stop()
      const probe = createServer()
      probe.listen(0, '127.0.0.1')
      await once(probe, 'listening')
      const { port } = probe.address() as { port: number }
      probe.close()
      return port
    })()
    const server = await new Server({ host: '127.0.0.1', port }, FRAMES).start()
    const { channel } = await client(server.address, FRAMES)
    channel.on('message', () => {})
    for (let round = 0; round < 5; round++) {
      await lost(channel, () => server.stop())
      channel.send(`${round}` as never)
      await reconnected(channel, () => server.start())
      await waitUntil(() => server.received.length === round + 1)
    }
    expect(server.received).toEqual(['0', '1', '2', '3', '4'])
  })

  it('reconnects after a deadline and after a frame that cannot be decoded', async () => {
    const name = abstractName()
    const server = await new Server(name, { protocol: 'raw', type: 'stream' }).start()
    const { channel, events } = await client(name, { ...FRAMES, messageTimeout: 30, maxMessage: 9 })
    channel.on('message', () => {})
    await waitUntil(() => server.connections.length === 1)
    const sendTo = (at: number, bytes: number[]) =>
      reconnected(channel, () => server.connections[at]?.send(Buffer.from(bytes) as never))
    await sendTo(0, [0, 0, 0, 9, 1])
    await waitUntil(() => server.connections.length === 2)
    await sendTo(1, [9, 9, 9, 9])
    const codes = events.flatMap(([, error]) => (error as { code?: string })?.code ?? [])
    expect(codes).toEqual(['ERR_FDWIRE_MESSAGE_TIMEOUT', 'ERR_FDWIRE_MESSAGE_TOO_LARGE'])
  })

  it('survives hundreds of kills of the server, with descriptors and memory flat', async () => {
    const path = join(temporaryDirectory(), 's')
    const start = async () => {
      const peer = new Peer(process.execPath, [testPath('support/children/echo.mjs'), path])
      await peer.receive()
      return peer
    }
    let peer = await start()
    const { channel } = await client(path, { protocol: 'lines' }, FAST)
    const before = countOpenFds()
    let lost = 0
    for (let kills = 0; kills < 20; kills++) {
      const requests = Array.from({ length: 20 }, (_, i) =>
        channel.request(`${kills} ${i}` as never).then(
          ({ value }) => expect(value).toBe(`${kills} ${i}`),
          error => {
            expect(error).toEqual(PEER_CLOSED)
            lost++
          },
        ),
      )
      if (kills % 2 === 0) await Promise.race(requests)
      await peer.stop('SIGKILL')
      peer = await start()
      await Promise.all(requests)
    }
    expect(channel.closed).toBe(false)
    expect(lost).toBeLessThan(20 * 20)
    await waitForOpenFds(before + 2)
  }, 120_000)

  it('replaces hundreds of connections without descriptors or memory that stay', async () => {
    const name = abstractName()
    const ends: Channel[] = []
    const listener = (await listen(name, FRAMES)) as unknown as Listener<Channel>
    afterTest(() => listener.close())
    listener.on('connection', channel => ends.push(channel))
    const { channel } = await client(name, FRAMES, { minDelay: 1, maxDelay: 1 })
    channel.on('message', () => {})
    const replace = async (count: number) => {
      for (let i = 0; i < count; i++) {
        await waitUntil(() => ends.length > 0)
        const reconnected = once(channel, 'reconnect')
        ends.pop()?.destroy()
        await reconnected
      }
    }
    await replace(50)
    const { rss } = await settledMemory()
    const fds = countOpenFds()
    await replace(400)
    await waitForOpenFds(fds + 1)
    expect((await settledMemory()).rss - rss).toBeLessThan(16 * 1024 * 1024)
    for (const end of ends) end.destroy()
  }, 120_000)
})
