import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, connect as dial } from 'node:net'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { adopt, bind, type Channel, connect, over, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, JSONCOMM, loopTurns, track } from '../support/channels.js'
import { cleanUpAfterEach, temporaryDirectory, testPath } from '../support/processes.js'
import {
  abstractName,
  afterTest,
  connectedPair,
  runCleanupsAfterEach,
  waitUntil,
} from '../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()
cleanUpAfterEach()

/** The longest window (µs). */
const LONGEST = 1_000
const JSON_FRAMES = { protocol: 'length_prefixed', encoding: 'json', busyPoll: LONGEST } as const
const CHILD = testPath('support/children/busy-poll.mjs')

/** Maximum number of polls of one iteration of the event loop that look at one channel only. */
const POLLS = 8

/** The number of iterations of this thread's event loop so far. */
const loopCount = (): number =>
  (performance.nodeTiming as unknown as { uvMetricsInfo: { loopCount: number } }).uvMetricsInfo
    .loopCount

/** Returns each message to its sender. */
function echo(channel: Channel): void {
  const isConnected = channel.remoteAddress !== undefined
  channel.on('message', (value, _, from) => {
    channel.send(value as never, isConnected ? {} : { to: from as string })
  })
}

/** Makes a pair of channels in this thread. */
function channelPair(options: object = {}): [Channel, Channel] {
  const [a, b] = pair({ ...JSON_FRAMES, ...options } as never) as [Channel, Channel]
  return [track(a), track(b)]
}

/** Returns a channel whose peer is a case of children/busy-poll.mjs in another process. */
function startChild(name: string, options: object = {}): [Channel, ChildProcess] {
  const [ours, theirs] = channelPair(options)
  const child = spawn(
    process.execPath,
    [CHILD, name, '3', JSON.stringify({ ...JSON_FRAMES, ...options })],
    { stdio: ['ignore', 'pipe', 'inherit', theirs.fd] },
  )
  theirs.destroy()
  afterTest(() => {
    child.kill('SIGKILL')
    child.stdout?.destroy()
  })
  return [ours, child]
}

/** Makes `count` round trips, one after the other, and then calls `then`. */
function pingPong(channel: Channel, count: number): Promise<void> {
  return new Promise(resolve => {
    let trips = 0
    channel.on('message', value => {
      expect(value).toBe(trips)
      if (++trips === count) resolve()
      else channel.send(trips)
    })
    channel.send(0)
  })
}

describe('busyPoll', () => {
  type Make = (busyPoll: number) => Promise<readonly [Channel, Channel]>
  const FUNCTIONS: [string, Make][] = [
    [
      'connect and listen',
      async busyPoll => connectedPair(abstractName(), { ...JSON_FRAMES, busyPoll }),
    ],
    [
      'connect and listen over TCP',
      async busyPoll => connectedPair({ host: '127.0.0.1', port: 0 }, { ...JSON_FRAMES, busyPoll }),
    ],
    [
      'connect and listen over seqpacket',
      async busyPoll => connectedPair(abstractName(), { ...JSONCOMM, type: 'seqpacket', busyPoll }),
    ],
    [
      'connect and bind',
      async busyPoll => {
        const server = track(await bind(abstractName(), { ...JSONCOMM, busyPoll }))
        const to = server.localAddress as string
        return [track(await connect(to, { ...JSONCOMM, busyPoll })) as Channel, server as Channel]
      },
    ],
    ['pair', async busyPoll => channelPair({ busyPoll })],
    [
      'pair over dgram',
      async busyPoll => channelPair({ ...JSONCOMM, encoding: undefined, busyPoll }),
    ],
    [
      'adopt',
      async busyPoll => {
        const [a, b] = channelPair({ busyPoll: 0 })
        const options = { ...JSON_FRAMES, busyPoll }
        return [
          track(adopt(a.detach(), options)) as Channel,
          track(adopt(b.detach(), options)) as Channel,
        ]
      },
    ],
  ]

  it.each(FUNCTIONS)('applies to both ends of %s', async (_, make) => {
    const [client, server] = await make(LONGEST)
    echo(server)
    for (let i = 0; i < 3; i++) expect((await client.request(i)).value).toBe(i)
    expect(client.stats.busyPolls).toBeGreaterThan(0)
    expect(server.stats.busyPolls).toBeGreaterThan(0)
  })

  it.each(FUNCTIONS)('is off by default with %s', async (_, make) => {
    const [client, server] = await make(0)
    echo(server)
    await client.request(1)
    expect([client.stats.busyPolls, server.stats.busyPolls]).toEqual([0, 0])
  })

  it('finds the replies of a fast peer while it polls', async () => {
    const [client] = startChild('echo')
    while (client.stats.busyPollHits < 100) await client.request(1)
    const { busyPolls, busyPollHits, received } = client.stats
    expect(busyPollHits).toBeLessThanOrEqual(busyPolls)
    // A stay that the next request extends is the same one.
    expect(busyPolls).toBeLessThanOrEqual(2 * received)
  })

  it.each([
    ['a stream', {}],
    ['dgram', { ...JSONCOMM, encoding: undefined }],
  ])('polls after a flush if a call waits, and not otherwise: %s', async (_, options) => {
    const [a, b] = channelPair(options)
    a.send(1)
    await loopTurns(3)
    expect(a.stats.busyPolls).toBe(0)
    expect(await b.receive()).toMatchObject({ value: 1 })
    await loopTurns(3)
    const second = b.receive()
    await loopTurns(3)
    expect(b.stats.busyPolls, 'nothing was sent').toBe(0)
    b.send(2)
    await loopTurns(3)
    expect(b.stats.busyPolls).toBe(1)
    a.send(3)
    expect(await second).toMatchObject({ value: 3 })
  })
})

describe('a peer that is slower than busyPoll', () => {
  const SLOW = 5

  it('is polled for less and less, and fully again when it gets faster', async () => {
    const [client, server] = channelPair()
    let delay = SLOW
    server.on('message', value => {
      if (delay === 0) server.send(value)
      else setTimeout(() => server.send(value), delay)
    })
    for (let i = 0; i < 120; i++) await client.request(i)
    const slow = client.stats
    expect(slow.busyPollHits).toBe(0)
    // Three stays are tolerated; then every 2nd, 4th … 64th chance is one. A request is at most two.
    expect(slow.busyPolls).toBeLessThanOrEqual(3 + 6 + Math.ceil((2 * 120) / 64))
    delay = 0
    while (client.stats.busyPollHits < 50) await client.request(0)
  })
})

describe('a thread with hot channels that poll', () => {
  it('serves timers, immediates, sockets of Node and its other channels', async () => {
    const [first] = startChild('echo')
    const [second] = startChild('echo')
    const server = createServer(accepted => {
      accepted.on('error', () => {})
      accepted.pipe(accepted)
    })
    const path = join(temporaryDirectory(), 'socket')
    server.listen(path)
    await once(server, 'listening')
    const socket = dial(path)
    afterTest(() => {
      socket.destroy()
      server.close()
    })
    const progress = { timers: 0, immediates: 0, echoes: 0, ticks: 0 }
    const timer = setInterval(() => void progress.timers++, 1)
    const immediate = () => {
      progress.immediates++
      if (progress.immediates < 1_000) setImmediate(immediate)
    }
    setImmediate(immediate)
    socket.on('data', () => {
      progress.echoes++
      socket.write('x')
    })
    socket.write('x')
    let done = false
    const trips = [first, second].map(async channel => {
      let count = 0
      channel.on('message', () => {
        process.nextTick(() => void progress.ticks++)
        count++
        if (!done) channel.send(count)
      })
      channel.send(0)
      await waitUntil(() => count >= 1_000)
    })
    await Promise.all([
      ...trips,
      waitUntil(() => progress.timers >= 20 && progress.echoes >= 200),
      waitUntil(() => progress.immediates >= 1_000 && progress.ticks >= 2_000),
    ])
    done = true
    clearInterval(timer)
  })

  it('returns to its event loop after a few messages', async () => {
    const [channel] = startChild('echo')
    const before = loopCount()
    await pingPong(channel, 8_000)
    // Beside the polls before a wait, the readiness of the channel may run a turn.
    expect(loopCount() - before).toBeGreaterThan(8_000 / (POLLS + 2))
  })

  it('runs an immediate after the message whose listener has set it', async () => {
    const [channel] = startChild('echo')
    let pending = 0
    let most = 0
    channel.on('message', () => {
      most = Math.max(most, ++pending)
      setImmediate(() => void pending--)
    })
    await pingPong(channel, 2_000)
    expect(most).toBeLessThanOrEqual(2)
  })

  it('reads another channel after a few messages of a hot one', async () => {
    const [hot] = startChild('echo')
    const [a, b] = channelPair({ busyPoll: 0 })
    let [count, sentAt, most, received] = [0, 0, 0, 0]
    hot.on('message', () => {
      if (++count % 50 === 0) {
        sentAt = count
        a.send(count)
      }
    })
    b.on('message', value => {
      expect(value).toBe(sentAt)
      received++
      most = Math.max(most, count - sentAt)
    })
    await pingPong(hot, 4_000)
    await waitUntil(() => received === 80)
    expect(most).toBeLessThanOrEqual(2 * POLLS)
  })

  it('handles the input of a Duplex stream that a listener feeds', async () => {
    const [hot] = startChild('echo')
    const duplex = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() })
    const fed = track(over(duplex, { protocol: 'lines' }))
    const values: string[] = []
    fed.on('message', value => void values.push(value))
    hot.on('message', value => void duplex.push(`${value}\n`))
    await pingPong(hot, 2_000)
    hot.destroy()
    await waitUntil(() => values.length === 2_000)
    expect(values).toEqual(Array.from({ length: 2_000 }, (_, i) => String(i)))
  })

  it('waits again when the messages end', async () => {
    const [channel] = startChild('echo')
    await pingPong(channel, 500)
    await sleep(20)
    const before = loopCount()
    await sleep(100)
    expect(loopCount() - before).toBeLessThan(50)
  })

  it('closes one in the listener of its message', async () => {
    const [channel, child] = startChild('echo')
    const [other] = startChild('echo')
    channel.on('message', value => {
      if (value === 500) channel.destroy()
      else channel.send((value as number) + 1)
    })
    channel.send(0)
    await Promise.all([once(channel, 'close'), once(child, 'exit'), pingPong(other, 1_000)])
    expect(channel.stats.received).toBe(501)
    expect(channel.stats.busyPolls).toBeGreaterThan(0)
  })

  it('delivers every message although listeners throw', async () => {
    const [channel, child] = startChild('throws')
    const output = once(child.stdout as NodeJS.ReadableStream, 'data')
    await pingPong(channel, 900)
    channel.destroy()
    const { thrown, received, busyPolls } = JSON.parse(String((await output)[0]))
    expect({ thrown, received }).toEqual({ thrown: 300, received: 900 })
    expect(busyPolls).toBeGreaterThan(0)
  })
})
