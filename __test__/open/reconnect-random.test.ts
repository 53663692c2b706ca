import { setTimeout } from 'node:timers/promises'
import { bind, type Channel } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, track } from '../support/channels.js'
import { testPath } from '../support/processes.js'
import { client, Server } from '../support/reconnecting.js'
import { abstractName, afterTest, runCleanupsAfterEach, waitUntil } from '../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()

const { numbers }: { numbers(seed: number): (limit: number) => number } = await import(
  testPath('support/children/random-traffic.mjs')
)

/** The seeds of one test. FDWIRE_SEED repeats one of them, and FDWIRE_SEEDS is how many follow it. */
const FIRST = Number(process.env.FDWIRE_SEED ?? 1)
const SEEDS = Number(process.env.FDWIRE_SEEDS ?? 2)

/** How long nothing happens while the time of the processor is measured (ms). */
const QUIET = 50

/** A server whose receivers stop, and whose connections break. */
interface Peer {
  readonly received: string[]
  start(): Promise<unknown>
  stop(): Promise<void>
  /** Lets the connections of the server stop reading, or read again. */
  pause(paused: boolean): void
}

/** A bound datagram socket that is closed and bound again. */
class DatagramPeer implements Peer {
  readonly received: string[] = []
  #socket: Channel | undefined

  constructor(
    readonly address: unknown,
    readonly options: object,
  ) {
    afterTest(() => this.stop())
  }

  async start(): Promise<void> {
    const socket = track(await bind(this.address as never, this.options as never)) as Channel
    socket.on('message', value => this.received.push(String(value)))
    this.#socket = socket
  }

  async stop(): Promise<void> {
    this.#socket?.destroy()
    this.#socket = undefined
  }

  pause(paused: boolean): void {
    paused ? this.#socket?.pause() : this.#socket?.resume()
  }
}

class ConnectionPeer extends Server implements Peer {
  pause(paused: boolean): void {
    for (const connection of this.connections) paused ? connection.pause() : connection.resume()
  }
}

/**
 * Waits, and checks that this takes no time of the processor worth mentioning. Garbage collection may
 * take some, but not in three pauses one after the other.
 */
async function rest(): Promise<void> {
  const shares: number[] = []
  for (let pause = 0; pause < 3; pause++) {
    const [start, before] = [performance.now(), process.cpuUsage()]
    await setTimeout(QUIET)
    const { user, system } = process.cpuUsage(before)
    // A load of the machine makes the pause longer, and the share smaller.
    shares.push((user + system) / 1_000 / (performance.now() - start))
    if ((shares.at(-1) as number) < 0.7) return
  }
  expect.fail(`The process was busy for these shares of the time: ${shares}`)
}

const RAW = { protocol: 'raw', maxQueued: 300_000 }

const KINDS: [string, object][] = [
  ['a stream', { protocol: 'length_prefixed', maxQueued: 300_000 }],
  ['a seqpacket socket', { ...RAW, type: 'seqpacket' }],
  ['a datagram socket', { ...RAW, type: 'dgram', sendTimeout: 20 }],
]

describe.each(KINDS)('a client of %s', (_, options) => {
  const isDatagram = (options as { type?: string }).type === 'dgram'

  const run = async (seed: number, queue: 'keep' | 'refuse') => {
    const random = numbers(seed)
    const address = abstractName()
    const peer: Peer = isDatagram
      ? new DatagramPeer(address, options)
      : new ConnectionPeer(address, options)
    await peer.start()
    const { channel } = await client(address, options, { minDelay: 3, maxDelay: 10, queue })
    channel.on('error', () => {})
    if (random(2) === 0) channel.serve(() => 'reply').catch(() => {})
    let isUp = true
    let undelivered = 0
    let next = 0
    const waiting: Promise<unknown>[] = []
    channel.on('undelivered', () => undelivered++)

    const send = (how: (text: string) => unknown) => {
      const [count, length] = [[1, 10, 300][random(3)] as number, [8, 100, 20_000][random(3)]]
      for (let i = 0; i < count; i++) {
        try {
          // The connection is lost and messages are refused, or the queue is full.
          how(String(next++).padEnd(length as number))
        } catch {
          return
        }
      }
    }
    const start = async () => {
      if (!isUp) await peer.start()
      isUp = true
    }
    const actions: (() => unknown)[] = [
      () => send(text => channel.send(text)),
      () => send(text => channel.send(text)),
      () => {
        send(text => channel.send(text))
        waiting.push(channel.flush().catch(() => {}))
      },
      () => waiting.push(channel.flush().catch(() => {})),
      () => waiting.push(channel.request(`${next++}`, { timeout: 20 }).catch(() => {})),
      () => peer.pause(random(2) === 0),
      () => setTimeout(random(8)),
      async () => {
        await peer.stop()
        isUp = false
        if (random(2) === 0) await rest()
      },
      start,
    ]
    for (let step = 0; step < 80; step++) {
      await actions[random(actions.length)]?.()
      if (step % 40 === 39) await rest()
    }
    await start()
    peer.pause(false)
    await waitUntil(() => channel.fd >= 0 && channel.stats.queued === 0)
    await Promise.all(waiting)
    expect(channel.stats.undelivered).toBe(undelivered)
    await rest()
    const received = peer.received.map(Number)
    expect(received).toEqual([...new Set(received)].sort((one, other) => one - other))
    await channel.close()
    expect(channel.closed).toBe(true)
  }

  describe.each(['keep', 'refuse'] as const)('with queue: %s', queue => {
    for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
      it(`loses no account of its messages, and is never busy (seed ${seed})`, () =>
        run(seed, queue))
    }
  })
})
