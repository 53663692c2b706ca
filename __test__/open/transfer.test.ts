import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, readSync, writeSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { adopt, bind, type Channel, connect, type Message, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import {
  channelPair,
  destroyChannelsAfterEach,
  errorWithCode,
  JSONCOMM,
  loopTurns,
  track,
} from '../support/channels.js'
import { cleanUpAfterEach, Peer, testPath } from '../support/processes.js'
import {
  FRAMES,
  LINES,
  rawStreamPair,
  runCleanupsAfterEach,
  streamPair,
  tcpPair,
} from '../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()
cleanUpAfterEach()

const FILE = testPath('support/children/transfer.mjs')
const CONTROL = { protocol: 'length_prefixed', encoding: 'json', maxFds: 1 } as const

const { takeUntilQuiet } = (await import('../support/children/transfer.mjs' as string)) as {
  takeUntilQuiet(channel: Channel, count: number): Promise<Message[]>
}

// biome-ignore lint/suspicious/noExplicitAny: any protocol and its options
type Options = any

/** Ways to connect two channels, and the options of both. */
const CONNECTIONS: [string, Options, (options: Options) => Promise<readonly [Channel, Channel]>][] =
  [
    ['dgram', JSONCOMM, async () => channelPair()],
    ['a bound dgram', JSONCOMM, dgramByName],
    ['seqpacket', { ...JSONCOMM, type: 'seqpacket' }, async options => pair(options) as Pair],
    ['a stream of lines', { ...LINES, encoding: 'json' }, async options => streamPair(options)],
    ['a stream of frames', { ...FRAMES, encoding: 'json' }, async options => streamPair(options)],
    ['TCP', { ...FRAMES, encoding: 'json' }, tcpPair],
  ]
type Pair = [Channel, Channel]

async function dgramByName(): Promise<Pair> {
  const server = await bind(null, JSONCOMM)
  return [await connect(server.localAddress as string, JSONCOMM), server]
}

/** Starts children/transfer.mjs with a descriptor as its descriptor 3. */
function startProcess(name: string, options: object, fd: number): Peer {
  const stdio = ['ignore', 'pipe', 'pipe', fd] as const
  return new Peer(process.execPath, [FILE, name, JSON.stringify(options)], { stdio: [...stdio] })
}

/** Lets another thread or process receive from a socket; returns the values and the socket. */
type Mover = (fd: number, options: object) => Promise<{ values: unknown[]; fd: number }>

const MOVERS: [string, Mover][] = [
  [
    'a worker thread',
    async (fd, options) => {
      const worker = new Worker(FILE, { workerData: { transfer: { fd, options } } })
      const [[result]] = await Promise.all([once(worker, 'message'), once(worker, 'exit')])
      return result
    },
  ],
  [
    'another process in a message',
    async (fd, options) => {
      const [control, theirs] = pair(CONTROL)
      const process = startProcess('borrows-socket', options, theirs.fd)
      theirs.destroy()
      control.send('take this', { fds: [fd] })
      closeSync(fd)
      const message = (await control.receive()) as Message<unknown[]>
      control.destroy()
      expect(await process.exited).toBe(0)
      return { values: message.value, fd: message.fds.take(0) }
    },
  ],
]

describe.each(MOVERS)('a channel that moves to %s and back', (_, moveTo) => {
  it.each(CONNECTIONS)(
    'loses nothing while its peer keeps sending: %s',
    async (_, options, make) => {
      const [far, near] = await make(options)
      const sending = far.detach()
      const peer = startProcess('numbers', options, sending)
      closeSync(sending)

      const before = await takeUntilQuiet(near, 100)
      const moved = await moveTo(near.detach(), options)
      const back = track(adopt(moved.fd, options)) as Channel
      const after: unknown[] = []
      const { value, from } = (await back.receive()) as Message
      after.push(value)
      back.send('stop', from === undefined ? {} : { to: from as string })
      let count: number | undefined
      while (count === undefined) {
        const { value } = (await back.receive()) as Message<number & { count?: number }>
        count = value.count
        if (count === undefined) after.push(value)
      }
      expect(await peer.exited).toBe(0)

      expect(Math.min(before.length, moved.values.length)).toBeGreaterThanOrEqual(100)
      const values = [...before.map(message => message.value), ...moved.values, ...after]
      expect(values).toEqual(Array.from({ length: count }, (_, i) => i))
    },
  )
})

describe('detach of a channel with a partial message', () => {
  const FRAMINGS: [string, Options, Buffer][] = [
    ['lines', LINES, Buffer.from('message\n')],
    ['frames', { ...FRAMES, encoding: 'text' }, Buffer.from('\0\0\0\x07message')],
  ]
  it.each(FRAMINGS)(
    'fails with the number of bytes read, and succeeds once the message is complete: %s',
    async (_, options, bytes) => {
      for (let cut = 1; cut < bytes.length; cut++) {
        const [raw, channel] = rawStreamPair(options)
        raw.send(Buffer.concat([bytes, bytes.subarray(0, cut)]))
        expect((await channel.receive())?.value).toBe('message')
        expect(channel.stats.inHand).toBe(cut)
        expect(() => channel.detach()).toThrow(
          expect.objectContaining({
            code: 'ERR_FDWIRE_NOT_QUIET',
            message: expect.stringContaining(`${cut} bytes of the next one were read`),
          }),
        )
        const rest = takeUntilQuiet(channel, 1)
        // The channel remains usable.
        raw.send(bytes.subarray(cut))
        expect((await rest).map(({ value }) => value)).toEqual(['message'])
        raw.send(bytes)
        const again = track(adopt(channel.detach(), options)) as Channel
        expect((await again.receive())?.value).toBe('message')
      }
    },
  )
})

describe('detach of a channel with unsent data', () => {
  const MIB = 1024 * 1024

  it.each(['dgram', 'seqpacket', 'stream'] as const)(
    'fails until flush resolves: %s',
    async type => {
      const [a, b] = pair({ protocol: 'raw', type }).map(track) as [Channel, Channel]
      const sent = 4 * MIB
      for (let bytes = 0; bytes < sent; bytes += MIB / 16) a.send(Buffer.alloc(MIB / 16))
      expect(a.stats.queued).toBeGreaterThan(0)
      expect(() => a.detach()).toThrow(errorWithCode('NOT_QUIET'))
      let received = 0
      b.on('message', value => {
        received += (value as Buffer).length
      })
      await a.flush()
      closeSync(a.detach())
      while (received < sent) await loopTurns(1)
    },
  )

  it.each([1, 2])(
    'fails until flush resolves even if the data has just been sent: %i listeners',
    async listeners => {
      const [a, b] = streamPair(LINES)
      const fd = b.detach()
      while (a.stats.queued === 0) {
        a.send('x'.repeat(99))
        await loopTurns(1)
      }
      const events: unknown[] = []
      // The messages come in the turn that sends the last bytes; two listeners get them after the
      // read.
      for (let i = 0; i < listeners; i++) {
        a.on('message', () => {
          events.push('message')
          expect(a.stats.queued).toBe(0)
          expect(() => a.detach()).toThrow(errorWithCode('NOT_QUIET'))
        })
      }
      const flushed = a.flush().then(() => events.push('flushed'))
      readSync(fd, Buffer.alloc(MIB))
      writeSync(fd, 'a message\n')
      await flushed
      expect(events).toEqual([...Array(listeners).fill('message'), 'flushed'])
      closeSync(a.detach())
      closeSync(fd)
    },
  )
})

describe('the options of a socket', () => {
  const SO_SNDBUF = 7
  const SO_PASSCRED = 16
  const SO_RCVLOWAT = 18
  const SO_PASSPIDFD = 76
  const NAMES = [SO_SNDBUF, SO_PASSCRED, SO_RCVLOWAT, SO_PASSPIDFD]

  /** Runs Python with a socket as `s` and returns what it prints. */
  function runPython(fd: number, code: string): string {
    const preamble = 'import socket; s = socket.socket(fileno=3)\n'
    const args = ['-c', preamble + code]
    return String(execFileSync('python3', args, { stdio: ['ignore', 'pipe', 'inherit', fd] }))
  }

  /** Returns the socket's options and whether it is in blocking mode. */
  const optionsOf = (fd: number) =>
    runPython(
      fd,
      `import os
def get(option):
    try:
        return s.getsockopt(1, option)
    except OSError:
        return None
print([*map(get, ${JSON.stringify(NAMES)}), os.get_blocking(3)])`,
    )

  /** Sets the options to the opposite of their defaults, as far as the kernel supports them. */
  const changeOptions = (fd: number) =>
    runPython(
      fd,
      `import os
for option in [${SO_PASSCRED}, ${SO_PASSPIDFD}]:
    try:
        s.setsockopt(1, option, 1)
    except OSError:
        pass
os.set_blocking(3, False)`,
    )

  it.each(['dgram', 'seqpacket', 'stream'] as const)(
    'are restored when its channel is detached: %s',
    async type => {
      const options = { protocol: 'raw', type } as const
      const withCredentials = type === 'dgram' ? { ...options, credentials: true } : options
      for (const changed of [false, true]) {
        const [a, b] = pair(options)
        const [here, there] = [a.detach(), b.detach()]
        if (changed) changeOptions(here)
        const original = optionsOf(here)
        const channel = track(adopt(here, withCredentials))
        const other = track(adopt(there, options))
        for (let i = 0; i < 1_000; i++) channel.send(Buffer.alloc(1_000))
        await loopTurns(2)
        other.on('message', () => {})
        other.send('there')
        await channel.receive()
        // A stream enlarges its send buffer, the others enable credentials to read, and none
        // enables pidfds.
        if (!changed || type === 'stream') expect(optionsOf(channel.fd)).not.toBe(original)
        await channel.flush()
        const detached = channel.detach()
        expect(optionsOf(detached)).toBe(original)
        closeSync(detached)
      }
    },
  )
})
