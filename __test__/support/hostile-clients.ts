/** Clients that must not harm a server. Each attacks and ends, or waits to be stopped. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { connect, type SocketType } from 'fdwire'
import { testPath } from './processes.js'

/** How to reach a server. */
export interface Target {
  path: string
  protocol: keyof typeof FRAMES
  type: SocketType
  /** Further options of the server's framing. */
  options?: object
}

/** A client; `stop` ends one that stays. */
export type Attack = (target: Target) => Promise<{ stop(): unknown } | undefined>

/** A whole message, and half of one: each framing announces or begins more than what comes. */
const FRAMES = {
  lines: { whole: '{}\n', half: '{"name": "ha' },
  length_prefixed: { whole: '\0\0\0\x02{}', half: '\0\0\x01\0{"' },
  content_length: { whole: 'Content-Length: 2\r\n\r\n{}', half: 'Content-Length: 99\r\n\r\n{"' },
  jsoncomm: { whole: '{}', half: '{"name": "ha' },
  raw: { whole: '{}', half: '{"name": "ha' },
} as const

/** Connects without framing. With `maxFds` it can send descriptors, whatever the server allows. */
const connectRaw = ({ path, type }: Target) => connect(path, { protocol: 'raw', type, maxFds: 253 })

const JSON_LINES = { protocol: 'lines', encoding: 'json' } as const

/** What `raw` has no encoding for. */
const JSON_BYTES = { encode: JSON.stringify, decode: (bytes: Buffer) => JSON.parse(`${bytes}`) }

/** Connects with the server's framing, for messages of JSON. */
function connectWell({ path, protocol, type, options }: Target) {
  // A raw stream has no messages: it gets lines of JSON.
  if (protocol === 'raw' && type === 'stream') return connect(path, JSON_LINES)
  const encoding = { jsoncomm: {}, raw: { encoding: JSON_BYTES } }[protocol as string]
  const framing = { protocol, type, ...(encoding ?? { encoding: 'json' }), ...options }
  return connect(path, framing as { protocol: 'lines'; encoding: 'json' })
}

const bytes =
  (content: string | Buffer): Attack =>
  async target => {
    const channel = await connectRaw(target)
    channel.on('error', () => {})
    channel.send(content)
    await channel.flush().catch(() => {})
    channel.destroy()
    return undefined
  }

const values =
  (...all: unknown[]): Attack =>
  async target => {
    for (const value of all) {
      const channel = await connectWell(target)
      channel.on('error', () => {})
      channel.send(value as never)
      await channel.flush().catch(() => {})
      // A stream that the server closes ends; a datagram socket is just left.
      channel.destroy()
    }
    return undefined
  }

export const ATTACKS: Readonly<Record<string, Attack>> = {
  'HTTP bytes': bytes('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'),
  'random bytes': bytes(Buffer.from(Array.from({ length: 400 }, (_, i) => (i * 151 + 7) % 256))),
  'an empty connection': bytes(''),
  'null and values of other types': values(null, 42, 'text', [], true, {}, { name: null }),
  'an unknown name': values({ name: '/no/such/file' }, { name: '../../etc/shadow' }, { name: '' }),
  'half a message': async target => bytes(FRAMES[target.protocol].half)(target),

  '300 unexpected descriptors': async target => {
    const channel = await connectRaw(target)
    channel.on('error', () => {})
    const fd = openSync('/dev/null', 'r')
    try {
      for (const count of [150, 150]) {
        channel.send('{}\n', { fds: Array.from({ length: count }, () => fd) })
      }
      await channel.flush()
    } catch {
      // Newer kernels refuse to send descriptors to a socket that takes none.
    } finally {
      closeSync(fd)
      channel.destroy()
    }
    return undefined
  },

  'a client that never reads': async target => {
    const channel = await connectWell(target)
    channel.on('error', () => {})
    // A channel without a consumer reads nothing.
    for (let i = 0; i < 20_000; i++) {
      try {
        if (!channel.send({ a: i, b: 1, name: '/dev/null' } as never)) break
      } catch {
        break
      }
    }
    return { stop: () => channel.destroy() }
  },

  'kill -9 in the middle of a message': async target => {
    const child: ChildProcess = spawn(
      process.execPath,
      [
        testPath('support/children/half-message.mjs'),
        JSON.stringify({ ...target, ...FRAMES[target.protocol] }),
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    const ended = once(child, 'close')
    if (child.stdout === null) throw new Error('The child has no stdout')
    await once(child.stdout, 'data')
    child.kill('SIGKILL')
    await ended
    return undefined
  },
}
