import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect as dial } from 'node:net'
import { join } from 'node:path'
import { type Channel, listen, over, pair } from 'fdwire'
import { afterEach, describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, track } from '../support/channels.js'
import { cleanUpAfterEach, temporaryDirectory } from '../support/processes.js'
import { waitUntil } from '../support/streams.js'

cleanUpAfterEach()
destroyChannelsAfterEach()

/** Messages of a turn, at the most. */
const TURN = 4_096

/** What sends without end; it ends when nobody takes it. */
const FLOOD = `
import socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
print("listening", flush=True)
sock = listener.accept()[0]
piece = sys.argv[2].encode("latin1") * 16384
while True:
    sock.sendall(piece)
`

const floods: ChildProcess[] = []
afterEach(async () => {
  for (const flood of floods.splice(0)) {
    if (flood.kill('SIGKILL')) await once(flood, 'exit')
  }
})

/** A stream on which another process sends the same bytes for ever. */
async function flooded(bytes: string) {
  const path = join(temporaryDirectory(), 'flood')
  const flood = spawn('python3', ['-c', FLOOD, path, bytes], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  floods.push(flood)
  await once(flood.stdout as NodeJS.ReadableStream, 'data')
  const socket = dial(path)
  await once(socket, 'connect')
  return socket
}

/** How often the loop goes round while `channel` tells of so many messages, good or not. */
async function roundsDuring(channel: Channel, messages: number): Promise<number> {
  let told = 0
  let rounds = 0
  const round = () => {
    rounds++
    if (told < messages) setImmediate(round)
  }
  setImmediate(round)
  channel.on('message', () => void told++)
  channel.on('malformed', () => void told++)
  await waitUntil(() => told >= messages)
  channel.destroy()
  return rounds
}

// First, since no Buffer of this process has any memory then.
it('an empty Buffer may be the first that comes', async () => {
  const [a, b] = pair({ protocol: 'length_prefixed' }).map(channel => track(channel as Channel))
  a?.send('')
  expect((await b?.receive())?.value).toEqual(Buffer.alloc(0))
})

describe('a peer that sends small messages for ever', () => {
  const KINDS = [
    ['good ones', 'lines', {}, '\n', 200_000],
    ['malformed ones', 'uds_comms', {}, '%', 40_000],
    ['what is no JSON', 'lines', { encoding: 'json' }, '\n', 40_000],
  ] as const
  for (const [kind, protocol, options, bytes, messages] of KINDS) {
    it(`does not keep the loop to itself: ${kind}`, async () => {
      const socket = await flooded(bytes)
      const path = join(temporaryDirectory(), 'socket')
      const listener = await listen(path, { protocol, ...options } as never)
      const connection = once(listener, 'connection')
      const into = dial(path)
      socket.pipe(into)
      into.on('error', () => socket.destroy())
      const channel = track((await connection)[0] as Channel)
      await listener.close()
      expect(await roundsDuring(channel, messages)).toBeGreaterThan(messages / TURN / 2)
      into.destroy()
      socket.destroy()
    })

    it(`does not keep the loop to itself through over(): ${kind}`, async () => {
      const socket = await flooded(bytes)
      const channel = track(over(socket, { protocol, ...options } as never) as Channel)
      expect(await roundsDuring(channel, messages)).toBeGreaterThan(messages / TURN / 2)
      expect(channel.stats.inHand).toBeLessThan(1024 * 1024)
    })
  }
})
