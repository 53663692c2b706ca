import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { type Channel, pair } from 'fdwire'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, track } from '../support/channels.js'
import { settledMemory } from '../support/memory.js'
import type { EndOptions } from '../support/model/end.js'
import { operations } from '../support/model/operations.js'
import { done, openFiles, runModel } from '../support/model/run.js'
import type { Encoding } from '../support/model/values.js'
import { cleanUpAfterEach, temporaryDirectory, testPath } from '../support/processes.js'
import { connectedPair, runCleanupsAfterEach, tcpPair } from '../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()
cleanUpAfterEach()

let files: ReturnType<typeof openFiles>
beforeAll(() => {
  files = openFiles()
})
afterAll(() => {
  files.close()
  if (RECORD)
    writeFileSync(
      RESULTS,
      `${JSON.stringify({ date: new Date().toISOString().slice(0, 10), ...done }, undefined, 2)}\n`,
    )
})

/**
 * The number of random sequences of operations for each connection. A failure prints the seed, which
 * FDWIRE_MODEL_SEED repeats. With FDWIRE_MODEL_SHRINK the sequence is shortened.
 */
const RUNS = Number(process.env.FDWIRE_MODEL_RUNS ?? 25)
const SEED = process.env.FDWIRE_MODEL_SEED
const SHRINKS = process.env.FDWIRE_MODEL_SHRINK !== undefined

/** With FDWIRE_MODEL_RECORD, the figures go here, and from there to docs/reliability.md. */
const RECORD = process.env.FDWIRE_MODEL_RECORD !== undefined
const RESULTS = testPath('support/model/results.json')

/** The largest growth of memory outside of V8's heap that is no leak (bytes). */
const GROWTH = 32 * 1024 * 1024

type Options = Record<string, unknown>
type Connect = (options: Options) => Promise<readonly [Channel, Channel]>

const inPair: Connect = async options => pair(options as never).map(track) as [Channel, Channel]
const byPath: Connect = options => connectedPair(join(temporaryDirectory(), 's'), options)

/** Connections: the name, the encoding, the longest message, and the options. */
const CONNECTIONS: [string, Encoding, number, Connect, Options][] = [
  ['jsoncomm over datagrams', 'json', 8_000, inPair, { protocol: 'jsoncomm' }],
  ['raw over datagrams', 'buffer', 30_000, inPair, { protocol: 'raw', type: 'dgram', maxFds: 8 }],
  ['jsoncomm over seqpacket', 'json', 8_000, inPair, { protocol: 'jsoncomm', type: 'seqpacket' }],
  [
    'raw over seqpacket',
    'buffer',
    30_000,
    byPath,
    { protocol: 'raw', type: 'seqpacket', maxFds: 8 },
  ],
  ['length_prefixed', 'buffer', 300_000, byPath, { protocol: 'length_prefixed', maxFds: 8 }],
  [
    'length_prefixed with json',
    'json',
    100_000,
    inPair,
    { protocol: 'length_prefixed', type: 'stream', encoding: 'json', maxFds: 8 },
  ],
  ['lines', 'text', 100_000, byPath, { protocol: 'lines', maxFds: 8 }],
  ['netstring over TCP', 'buffer', 300_000, tcpPair, { protocol: 'netstring' }],
  [
    'content_length over TCP',
    'json',
    100_000,
    tcpPair,
    { protocol: 'content_length', encoding: 'json' },
  ],
  ['varint', 'text', 100_000, byPath, { protocol: 'varint', encoding: 'text' }],
  ['uds_comms', 'json', 100_000, byPath, { protocol: 'uds_comms', encoding: 'json' }],
  ['msg_channel', 'buffer', 100_000, byPath, { protocol: 'msg_channel', encoding: 'buffer' }],
]

/** Options of every channel: small limits are reached, and large ones are not. */
const limits = (withFds: boolean, sendBuffers: number[]) =>
  fc.record({
    highWaterMark: fc.constantFrom(0, 1_000, 65_536),
    maxQueued: fc.constantFrom(50_000, 32 * 1024 * 1024),
    sendBufferSize: fc.constantFrom(...sendBuffers),
    ...(withFds && { maxOpenFds: fc.constantFrom(8, 256) }),
  })

describe('channels behave as a queue for each direction, whatever the program does', () => {
  it.each(CONNECTIONS)(
    'with %s',
    async (name, encoding, maxSize, connect, options) => {
      const withFds = 'maxFds' in options || name.startsWith('jsoncomm')
      const isDatagram = name.endsWith('over datagrams')
      // The kernel refuses a packet that is longer than the send buffer.
      const packets = isDatagram || name.endsWith('over seqpacket')
      const halfOpen = isDatagram ? fc.constant(undefined) : fc.boolean()
      const property = fc.asyncProperty(
        limits(withFds, packets ? [200_000] : [2_048, 200_000]),
        halfOpen,
        operations(maxSize, withFds),
        async (chosen, allowHalfOpen, steps) => {
          const channel = { ...options, ...chosen, ...(!isDatagram && { allowHalfOpen }) }
          const end: EndOptions = { encoding, channel, files }
          await runModel(() => connect(channel), end, steps)
        },
      )
      const run = (numRuns: number) =>
        fc.assert(property, {
          numRuns,
          endOnFailure: !SHRINKS,
          ...(SEED !== undefined && { seed: Number(SEED) }),
        })
      await run(Math.ceil(RUNS / 4))
      const before = await externalMemory()
      await run(RUNS)
      const growth = async () => (await externalMemory()) - before
      await expect.poll(growth, { timeout: 20_000 }).toBeLessThan(GROWTH)
    },
    RUNS * 20_000,
  )
})

/** Returns the memory outside of V8's heap (bytes). */
async function externalMemory(): Promise<number> {
  const { external, arrayBuffers } = await settledMemory()
  return external + arrayBuffers
}
