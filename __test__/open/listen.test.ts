import { once } from 'node:events'
import { type Channel, connect, listen } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode, loopTurns, track } from '../support/channels.js'
import {
  cleanUpAfterEach,
  countOpenFds,
  Peer,
  streamsPeer,
  testPath,
  waitForOpenFds,
} from '../support/processes.js'
import {
  acceptNext,
  LINES,
  patternBytes,
  receiveUpTo,
  runCleanupsAfterEach,
  startListener,
  waitUntil,
  whenClosed,
} from '../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()
cleanUpAfterEach()

const CHILD = testPath('support/children/streams.mjs')
const TCP = { host: '127.0.0.1', port: 0 }

const dial = async (to: unknown, options = {}): Promise<Channel> =>
  track((await connect(to as never, { ...LINES, ...options })) as Channel)

describe('a listener', () => {
  it('accepts nothing without a consumer, and one connection for each pending next()', async () => {
    const listener = await startListener(null, LINES)
    const clients = [await dial(listener.address), await dial(listener.address)]
    clients.forEach((client, i) => void client.send(`${i}`))
    await loopTurns(5)
    expect(listener.connections).toBe(0)
    const first = await acceptNext(listener)
    await loopTurns(5)
    expect(listener.connections).toBe(1)
    const second = await acceptNext(listener)
    expect([...(await receiveUpTo(first, 1)), ...(await receiveUpTo(second, 1))]).toEqual([
      '0',
      '1',
    ])
  })

  it("accepts every connection for a 'connection' handler; connections that once() leaves go to the next handler", async () => {
    const listener = await startListener(null, LINES)
    for (let i = 0; i < 3; i++) void (await dial(listener.address)).send(`${i}`)
    const [first] = (await once(listener, 'connection')) as [Channel]
    expect(await receiveUpTo(track(first), 1)).toEqual(['0'])
    const got: Channel[] = []
    listener.on('connection', channel => void got.push(track(channel)))
    await waitUntil(() => got.length === 2)
    expect(await receiveUpTo(got[1] as Channel, 1)).toEqual(['2'])
  })

  it("allows no iterator while there is a 'connection' handler", async () => {
    const listener = await startListener(null, LINES)
    const waiting = listener[Symbol.asyncIterator]().next()
    expect(() => listener.on('connection', () => {})).toThrow(errorWithCode('CONSUMER_CONFLICT'))
    void dial(listener.address)
    track((await waiting).value as Channel)
    listener.on('connection', () => {})
    const next = listener[Symbol.asyncIterator]().next()
    await expect(next).rejects.toEqual(errorWithCode('CONSUMER_CONFLICT'))
  })

  it('stays open after break, and ends the iteration when it is closed', async () => {
    const listener = await startListener(null, LINES)
    void dial(listener.address)
    for await (const channel of listener) {
      track(channel)
      break
    }
    expect(listener.closed).toBe(false)
    const rest: Channel[] = []
    const iterated = (async () => {
      for await (const channel of listener) rest.push(channel)
    })()
    await listener.close()
    await iterated
    expect(rest).toEqual([])
    expect((await listener[Symbol.asyncIterator]().next()).done).toBe(true)
  })

  it('stops accepting at maxConnections until a connection closes', async () => {
    const listener = await startListener(TCP, { ...LINES, maxConnections: 2 })
    const got: Channel[] = []
    listener.on('connection', channel => void got.push(track(channel)))
    for (let i = 0; i < 5; i++) await dial(listener.address)
    await waitUntil(() => got.length === 2)
    await loopTurns(10)
    expect([got.length, listener.connections]).toEqual([2, 2])
    for (let i = 0; i < 3; i++) {
      got[i]?.destroy()
      await waitUntil(() => got.length === 3 + i)
      expect(listener.connections).toBe(2)
    }
  })

  it('survives a connection that fails before its event', async () => {
    const peer = streamsPeer('reset-before-event')
    expect(await peer.receive()).toBe(0)
    expect(await peer.exited).toBe(0)
  })

  it('destroys the channel of a rejecting handler with captureRejections', async () => {
    const listener = await startListener(null, { ...LINES, captureRejections: true })
    const closed = new Promise<Channel>(resolve => {
      listener.on('connection', async channel => {
        channel.on('error', () => {})
        channel.on('close', () => resolve(channel))
        throw new Error('mine')
      })
    })
    await dial(listener.address)
    expect([(await closed).closed, listener.closed]).toEqual([true, false])
  })
})

describe('allowPeer', () => {
  const results: ['accepts' | 'drops', string, () => unknown][] = [
    ['accepts', 'true', () => true],
    ['drops', 'false', () => false],
    ['drops', 'undefined', () => undefined],
    ['drops', '1', () => 1],
    ['drops', 'a promise of true', () => Promise.resolve(true)],
  ]
  it.each(results)('%s the connection if it returns %s', async (outcome, _, allowPeer) => {
    const accepted = outcome === 'accepts'
    const listener = await startListener(null, { ...LINES, allowPeer })
    const drops: unknown[] = []
    const got: Channel[] = []
    listener.on('drop', drop => drops.push(drop))
    listener.on('connection', channel => void got.push(track(channel)))
    const client = await dial(listener.address)
    if (!accepted) expect(await client.receive()).toBe(null)
    await waitUntil(() => drops.length + got.length > 0)
    expect([drops, got.length]).toEqual(accepted ? [[], 1] : [[{ reason: 'allowPeer' }], 0])
    if (!accepted) expect(listener.connections).toBe(0)
  })

  it.each([true, false])(
    'may close the listener, which closes all its pending connections, if it returns %s',
    async allowed => {
      const before = countOpenFds()
      const events: string[] = []
      const listener = await startListener(null, {
        ...LINES,
        allowPeer() {
          listener.close()
          return allowed
        },
      })
      const clients: Channel[] = []
      for (let i = 0; i < 5; i++) clients.push(await dial(listener.address))
      for (const event of ['drop', 'connection', 'close'] as const) {
        listener.on(event, () => void events.push(event))
      }
      for (const client of clients) expect(await client.receive()).toBe(null)
      expect([events, listener.connections]).toEqual([['close'], 0])
      for (const client of clients) client.destroy()
      await loopTurns(2)
      await waitForOpenFds(before)
    },
  )

  it('drops the connection with the error if it throws, and the listener continues', async () => {
    const fatal = new Error('no')
    const peers: unknown[] = []
    const listener = await startListener(null, {
      ...LINES,
      allowPeer(peer: unknown) {
        if (peers.push(peer) === 1) throw fatal
        return true
      },
    })
    const dropped = once(listener, 'drop')
    const [next] = await Promise.all([
      acceptNext(listener),
      dial(listener.address),
      dial(listener.address),
    ])
    expect(await dropped).toEqual([{ reason: 'allowPeer', error: fatal }])
    const { pid, getuid, getgid } = process
    expect(peers).toEqual([0, 1].map(() => ({ pid, uid: getuid?.(), gid: getgid?.() })))
    expect(next.peer).toEqual(peers[0])
  })

  it('receives the address of a TCP peer', async () => {
    let peer: unknown
    const allowPeer = (one: unknown) => {
      peer = one
      return true
    }
    const listener = await startListener(TCP, { ...LINES, allowPeer })
    const [channel, client] = await Promise.all([acceptNext(listener), dial(listener.address)])
    expect(peer).toEqual(client.localAddress)
    expect(channel.peer).toEqual(client.localAddress)
    expect(channel.remoteAddress).toEqual(client.localAddress)
    expect(client.remoteAddress).toEqual(listener.address)
  })
})

describe('a listener under load', () => {
  it('pauses with one warning if descriptors run out, and resumes when some are free', async () => {
    const peer = streamsPeer('echo-server', 64)
    const address = await peer.receive()
    const options = { protocol: 'length_prefixed', timeout: 0 }
    const clients = await Promise.all(Array.from({ length: 80 }, () => dial(address, options)))
    expect(await peer.receive()).toEqual({ warning: 'FDWIRE_ACCEPT_PAUSED' })
    const served = await Promise.all(
      clients.map(async (client, i) => {
        const { value } = await client.request(patternBytes(1_000 + i))
        await client.close()
        return (value as Buffer).length - i
      }),
    )
    expect(new Set(served)).toEqual(new Set([1_000]))
    const next = expect(peer.receive()).rejects.toThrow(/exited with SIGKILL/)
    await peer.stop()
    await next
  })

  it('serves 2,000 connections at once with messages in both directions', async () => {
    const peer = new Peer('sh', [
      '-c',
      'ulimit -n $(ulimit -Hn); exec "$0" "$1" many-connections 2000',
      process.execPath,
      CHILD,
    ])
    expect(await peer.receive()).toEqual({ served: 6_000, connections: 2_000 })
    expect(await peer.receive()).toBe(0)
    expect(await peer.exited).toBe(0)
  })

  it('leaves nothing open if it closes while connections arrive', async () => {
    for (let i = 0; i < 10; i++) {
      const listener = await listen(null, LINES)
      const clients = await Promise.all([1, 2, 3].map(() => dial(listener.address)))
      listener.on('connection', channel => {
        track(channel)
        void listener.close()
      })
      await once(listener, 'close')
      for (const client of clients) client.destroy()
      await Promise.all(clients.map(whenClosed))
    }
  })

  it('loses no connection if a handler throws or closes its channel', async () => {
    const listener = await startListener(null, LINES)
    const got: Channel[] = []
    const thrown: unknown[] = []
    const record = (error: unknown) => void thrown.push(error)
    const others = process.listeners('uncaughtException')
    process.removeAllListeners('uncaughtException').on('uncaughtException', record)
    try {
      listener.on('connection', channel => {
        got.push(track(channel))
        if (got.length === 1) throw new Error('mine')
        if (got.length === 2) void channel.close()
      })
      for (let i = 0; i < 3; i++) await dial(listener.address)
      await waitUntil(() => got.length === 3)
    } finally {
      process.removeAllListeners('uncaughtException')
      for (const other of others) process.on('uncaughtException', other)
    }
    expect(thrown).toHaveLength(1)
    await waitUntil(() => listener.connections === 2)
  })
})
