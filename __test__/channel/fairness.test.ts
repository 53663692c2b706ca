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

/** Maximum number of messages per turn of a channel. */
const TURN = 4_096

/** A Python program that sends the same bytes until the connection closes. */
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

/** Returns a socket on which another process sends the same bytes without end. */
async function startFlood(bytes: string) {
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

/** Accepts a connection on which another process sends the same bytes without end. */
async function acceptFlood(bytes: string, options: object) {
  const socket = await startFlood(bytes)
  const path = join(temporaryDirectory(), 'socket')
  const listener = await listen(path, options as never)
  const connection = once(listener, 'connection')
  const target = dial(path)
  socket.pipe(target)
  target.on('error', () => socket.destroy())
  const channel = track((await connection)[0] as Channel)
  await listener.close()
  const stop = () => {
    target.destroy()
    socket.destroy()
  }
  return { channel, stop }
}

/** Counts the turns of the event loop while `channel` receives `messages`, and destroys it. */
async function loopTurnsDuring(channel: Channel, messages: number): Promise<number> {
  const rounds = await loopTurnsOf(channel, messages)
  channel.destroy()
  return rounds
}

/** Counts the turns of the event loop while `channel` receives `messages`, valid or malformed. */
async function loopTurnsOf(channel: Channel, messages: number): Promise<number> {
  let count = 0
  let rounds = 0
  const round = () => {
    rounds++
    if (count < messages) setImmediate(round)
  }
  setImmediate(round)
  channel.on('message', () => void count++)
  channel.on('malformed', () => void count++)
  await waitUntil(() => count >= messages)
  return rounds
}

// This test comes first: no Buffer of this process has any memory yet.
it('delivers an empty Buffer as the first message of a process', async () => {
  const [a, b] = pair({ protocol: 'length_prefixed' }).map(channel => track(channel as Channel))
  a?.send('')
  expect((await b?.receive())?.value).toEqual(Buffer.alloc(0))
})

describe('a peer that sends small messages without end', () => {
  const KINDS = [
    ['valid messages', 'lines', {}, '\n', 200_000],
    ['malformed messages', 'uds_comms', {}, '%', 40_000],
    ['invalid JSON', 'lines', { encoding: 'json' }, '\n', 40_000],
  ] as const
  for (const [kind, protocol, options, bytes, messages] of KINDS) {
    it(`does not starve the event loop: ${kind}`, async () => {
      const { channel, stop } = await acceptFlood(bytes, { protocol, ...options })
      expect(await loopTurnsDuring(channel, messages)).toBeGreaterThan(messages / TURN / 2)
      stop()
    })

    it(`gets few messages per turn of the event loop if each takes long: ${kind}`, async () => {
      const { channel, stop } = await acceptFlood(bytes, { protocol, ...options })
      const spin = () => {
        const end = performance.now() + 0.1
        while (performance.now() < end);
      }
      channel.on('message', spin)
      channel.on('malformed', spin)
      // The turns of the first messages are as long as those of quick ones.
      await loopTurnsOf(channel, 2_000)
      expect(await loopTurnsDuring(channel, 2_000)).toBeGreaterThan(2_000 / 64)
      stop()
    })

    it(`does not starve the event loop through over(): ${kind}`, async () => {
      const socket = await startFlood(bytes)
      const channel = track(over(socket, { protocol, ...options } as never) as Channel)
      expect(await loopTurnsDuring(channel, messages)).toBeGreaterThan(messages / TURN / 2)
      expect(channel.stats.inHand).toBeLessThan(1024 * 1024)
    })
  }
})
