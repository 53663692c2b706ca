/** hot-shots, a client of statsd, sends metrics over Unix datagrams. */
import { join } from 'node:path'
import { bind, type Message } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, track } from '../support/channels.js'
import { cleanUpAfterEach, Peer, temporaryDirectory, testPath } from '../support/processes.js'

cleanUpAfterEach()
destroyChannelsAfterEach()

interface Metric {
  name: string
  value: number
  type: string
  tags: string[]
}

/** The datagrams of statsd: a metric in each line. */
const METRICS = {
  encode: (metrics: Metric[]) =>
    metrics.map(({ name, value, type }) => `${name}:${value}|${type}`).join('\n'),
  decode: (bytes: Buffer): Metric[] =>
    bytes
      .toString()
      .split('\n')
      .filter(line => line !== '')
      .map(line => {
        const [, name, value, type, tags] = /^([^:]+):([^|]+)\|(\w+)(?:\|#(.*))?$/.exec(line) ?? []
        if (name === undefined || type === undefined) throw new Error(`Not a metric: ${line}`)
        return { name, value: Number(value), type, tags: tags?.split(',') ?? [] }
      }),
}

/** Opens a channel in place of a statsd server, and starts a client that makes these calls. */
async function collect(calls: unknown[][], options: object = {}) {
  const path = join(temporaryDirectory(), 'statsd')
  const channel = track(await bind(path, { protocol: 'raw', type: 'dgram', encoding: METRICS }))
  const args = [{ path, ...options }, calls].map(arg => JSON.stringify(arg))
  const client = new Peer(process.execPath, [testPath('support/children/hot-shots.mjs'), ...args])
  return { channel, client }
}

const COUNTER = { name: 'app.requests', value: 1, type: 'c', tags: ['env:test'] }
const TIMER = { name: 'app.latency', value: 12, type: 'ms', tags: ['env:test'] }
const GAUGE = { name: 'app.é', value: -2.5, type: 'g', tags: ['env:test', 'disk:a'] }
const CALLS = [
  ['increment', 'requests'],
  ['timing', 'latency', 12],
  ['gauge', 'é', -2.5, { disk: 'a' }],
]
const NAMED = { prefix: 'app.', globalTags: { env: 'test' } }

describe('hot-shots', () => {
  it('sends one datagram for each metric, with type and tags', async () => {
    const { channel, client } = await collect(CALLS, { ...NAMED, maxBufferSize: 0 })
    for (const metric of [COUNTER, TIMER, GAUGE]) {
      expect((await channel.receive())?.value).toEqual([metric])
    }
    expect(await client.receive()).toBe(null)
  })

  it('sends one datagram with a line for each metric if it buffers them', async () => {
    const { channel, client } = await collect(CALLS, { ...NAMED, maxBufferSize: 1_000 })
    expect((await channel.receive())?.value).toEqual([COUNTER, TIMER, GAUGE])
    expect(await client.receive()).toBe(null)
  })

  it('sends more datagrams than the kernel queues, and all of them arrive', async () => {
    const calls = Array.from({ length: 200 }, (_, i) => ['gauge', 'number', i])
    // The client tries again while the queue of the socket is full.
    const retry = { retries: 10_000, retryDelayMs: 5, maxRetryDelayMs: 5, backoffFactor: 1 }
    const { channel, client } = await collect(calls, {
      maxBufferSize: 0,
      udsRetryOptions: retry,
      // It gives up after eleven of these intervals (ms).
      closingFlushInterval: 2_000,
    })
    const values = new Set<number>()
    while (values.size < calls.length) {
      const { value } = (await channel.receive()) as Message<Metric[]>
      for (const metric of value) values.add(metric.value)
    }
    expect([...values].sort((a, b) => a - b)).toEqual(calls.map(([, , i]) => i))
    expect(await client.receive()).toBe(null)
  })
})
