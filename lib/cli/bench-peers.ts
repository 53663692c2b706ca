/** What `fdwire bench` compares: three ways to exchange JSON between two processes. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Channel } from '../channel/channel.js'
import { listen } from '../open/listen.js'
import { now, setImmediate } from '../util/timers.js'

/** A message of about 100 bytes as JSON. */
interface Message {
  n: number
  text: string
  /** The receiver replies to the message with the number of messages so far. */
  reply: boolean
}

/** The connection to the other process. */
export interface Peer {
  /** Sends a message. Resolves when the next one may follow, undefined for at once. */
  send(message: Message): Promise<unknown> | undefined
  /** Resolves with the next reply. */
  receive(): Promise<unknown>
  close(): void
}

/** The candidates; the first is the one that the others are compared with. */
export const PEERS: readonly { name: string; start(): Promise<Peer> }[] = [
  { name: 'fdwire', start: startFdwire },
  { name: 'node:net', start: startNet },
  { name: 'child_process', start: startIpc },
]

const TEXT = 'x'.repeat(64)

/** Measures a candidate for twice `time` (ms): messages per second, and µs per round trip. */
export async function measure(
  start: () => Promise<Peer>,
  time: number,
): Promise<{ messages: number; roundTrip: number }> {
  const peer = await start()
  let n = 0
  const send = (reply: boolean) => peer.send({ n: n++, text: TEXT, reply })
  const exchange = async () => {
    const reply = peer.receive()
    await send(true)
    return reply
  }
  try {
    await exchange()
    let begin = now()
    const first = n
    while (now() - begin < time) {
      for (let i = 0; i < 64; i++) {
        const room = send(false)
        if (room !== undefined) await room
      }
      // Other events of the loop have their turn, as in a real program.
      await new Promise<void>(resolve => setImmediate(resolve))
    }
    await exchange()
    const messages = ((n - first) * 1_000) / (now() - begin)
    begin = now()
    let rounds = 0
    for (; now() - begin < time; rounds++) await exchange()
    return { messages, roundTrip: ((now() - begin) * 1_000) / rounds }
  } finally {
    peer.close()
  }
}

function startChild(...args: string[]): ChildProcess {
  return fork(fileURLToPath(new URL('bench-child.js', import.meta.url)), args)
}

async function startFdwire(): Promise<Peer> {
  const path = socketPath()
  const server = await listen(path, { protocol: 'length_prefixed', encoding: 'json' })
  const child = startChild('fdwire', path)
  const [channel] = (await once(server, 'connection')) as [Channel]
  return {
    send: message => (channel.send(message) ? undefined : once(channel, 'drain')),
    receive: () => channel.receive(),
    close() {
      channel.destroy()
      server.close()
      end(child, path)
    },
  }
}

/** JSON lines over a Unix socket, as programs usually do it. */
async function startNet(): Promise<Peer> {
  const path = socketPath()
  const server = createServer().listen(path)
  await once(server, 'listening')
  const child = startChild('net', path)
  const [socket] = (await once(server, 'connection')) as [Socket]
  const lines = createInterface({ input: socket })
  return {
    send: message =>
      socket.write(`${JSON.stringify(message)}\n`) ? undefined : once(socket, 'drain'),
    receive: async () => JSON.parse((await once(lines, 'line'))[0]),
    close() {
      socket.destroy()
      server.close()
      end(child, path)
    },
  }
}

async function startIpc(): Promise<Peer> {
  const child = startChild('ipc')
  return {
    send: message =>
      child.send(message) ? undefined : new Promise(resolve => child.send(message, resolve)),
    receive: async () => (await once(child, 'message'))[0],
    close: () => child.kill(),
  }
}

function socketPath(): string {
  return join(mkdtempSync(join(tmpdir(), 'fdwire-bench-')), 'socket')
}

function end(child: ChildProcess, path: string): void {
  child.kill()
  rmSync(join(path, '..'), { recursive: true, force: true })
}
