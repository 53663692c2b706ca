import { type Channel, over, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, sendUntilQueued, track } from '../support/channels.js'
import { cleanUpAfterEach } from '../support/processes.js'
import {
  FRAMES,
  nodeSocketPair,
  patternBytes,
  runCleanupsAfterEach,
  STREAM_CONNECTIONS,
} from '../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()
cleanUpAfterEach()

const PAYLOAD = patternBytes(8 * 1024 * 1024)

const packets = (type: 'seqpacket' | 'dgram') => async () => {
  const [a, b] = pair({ protocol: 'jsoncomm', type })
  return [track(a), track(b)] as const
}

/** Connects two channels. Each queues more than the kernel takes. */
const CONNECTIONS: [string, () => Promise<readonly [Channel, Channel]>][] = [
  ...STREAM_CONNECTIONS.map(([name, connect]): (typeof CONNECTIONS)[number] => [
    `a stream over ${name}`,
    () => connect(FRAMES),
  ]),
  ['seqpacket', packets('seqpacket')],
  ['datagrams', packets('dgram')],
  [
    'a Duplex',
    async () => {
      const [a, b] = await nodeSocketPair()
      return [track(over(a, FRAMES)), track(over(b, FRAMES))] as const
    },
  ],
]

describe.each(CONNECTIONS)('two ends of %s that close at the same time', (_, connect) => {
  it('do not wait for each other to read', async () => {
    const ends = await connect()
    for (const end of ends) {
      if (end.protocol === 'jsoncomm') sendUntilQueued(end)
      else end.send(PAYLOAD)
    }
    for (const { stats } of ends) expect(stats.queued).toBeGreaterThan(0)
    const closed = await Promise.allSettled(ends.map(end => end.close({ timeout: 0 })))
    // The first one closes its socket as soon as its queue is sent, so the other may be too late.
    const failed = closed.filter(({ status }) => status === 'rejected')
    expect(failed.length).toBeLessThan(2)
    for (const { reason } of failed as PromiseRejectedResult[]) {
      expect(reason).toMatchObject({ code: expect.stringMatching(/^(?:EPIPE|ECONNRESET)$/) })
    }
    expect(ends.map(end => end.closed)).toEqual([true, true])
  })
})

describe('a channel over a socket that closes with a queue', () => {
  it('closes the descriptors of messages that still arrive', async () => {
    const [a, b] = pair({ protocol: 'jsoncomm', type: 'seqpacket' }).map(track) as [
      Channel,
      Channel,
    ]
    sendUntilQueued(a)
    const closed = a.close({ timeout: 0 })
    b.send('late', { fds: [0, 1] })
    for await (const { fds } of b) fds.close()
    await closed
    expect(a.stats.openFds).toBe(0)
  })
})
