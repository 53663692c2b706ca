import { once } from 'node:events'
import type { Channel } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, loopTurns } from '../support/channels.js'
import { LINES, runCleanupsAfterEach, STREAM_CONNECTIONS, waitUntil } from '../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()

const TEXT = 'x'.repeat(20_000)
const COUNT = 500

const OPTIONS = { ...LINES, encoding: 'json' } as const

/** Programs that send a reply to each message, and wait for `'drain'` when they have to. */
const PROGRAMS: [string, (channel: Channel, seen: unknown[]) => Promise<unknown>][] = [
  [
    'an iteration that waits for the drain',
    async (channel, seen) => {
      for await (const { value } of channel) {
        seen.push(value)
        if (!channel.send(TEXT)) await once(channel, 'drain')
      }
    },
  ],
  [
    "a 'message' listener that pauses until the drain",
    (channel, seen) => {
      channel.on('message', value => {
        seen.push(value)
        if (channel.send(TEXT)) return
        channel.pause()
        channel.once('drain', () => channel.resume())
      })
      return once(channel, 'close')
    },
  ],
  [
    'a loop of receive and sendAll',
    async (channel, seen) => {
      for (;;) {
        const message = await channel.receive()
        if (message === null) return
        seen.push(message.value)
        if (!channel.sendAll([TEXT, TEXT])) await once(channel, 'drain')
      }
    },
  ],
]

describe.each(STREAM_CONNECTIONS)(
  'over %s, a peer that has read nothing, and is gone',
  (_, connect) => {
    it.each(PROGRAMS)('ends %s, after its last messages', async (_, run) => {
      const [peer, channel] = await connect(OPTIONS)
      for (let i = 0; i < COUNT; i++) peer.send(i)
      const seen: unknown[] = []
      // The program may find the channel closed before it learns why.
      const running = run(channel, seen).catch(() => {})
      const failed = once(channel, 'error')
      await waitUntil(() => channel.stats.queuedBytes > 0)
      await loopTurns(20)
      expect(seen.length).toBeLessThan(COUNT)
      peer.destroy()
      const [error] = await failed
      await running
      expect(['EPIPE', 'ECONNRESET']).toContain(error.code)
      expect(channel.closed).toBe(true)
      expect(channel.stats.unread).toBe(0)
      // What had arrived was delivered, in order.
      expect(seen).toEqual(Array.from({ length: seen.length }, (_, i) => i))
      expect(seen.length).toBe(channel.stats.received)
    })
  },
)
