import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { Duplex, PassThrough, Writable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import { createServer, connect as dialTls, type TLSSocket } from 'node:tls'
import { adopt, type Channel, Codec, over } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, loopTurns, track } from '../support/channels.js'
import { cleanUpAfterEach, testPath } from '../support/processes.js'
import {
  afterTest,
  FRAMES,
  LINES,
  nodeSocketPair,
  patternBytes,
  receiveAll,
  receiveUpTo,
  recordEvents,
  runCleanupsAfterEach,
  waitUntil,
  whenClosed,
} from '../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()
cleanUpAfterEach()

const MIB = 1024 * 1024
const PEM = readFileSync(testPath('support/fixtures/tls.pem'))

/** Returns the two sockets of a TLS connection. */
async function tls(): Promise<[TLSSocket, TLSSocket]> {
  const server = createServer({ key: PEM, cert: PEM })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const connected = once(server, 'secureConnection')
  const client = dialTls({ port, host: '127.0.0.1', ca: PEM, servername: 'localhost' })
  const [[accepted]] = await Promise.all([connected, once(client, 'secureConnect')])
  server.close()
  for (const one of [client, accepted]) afterTest(() => one.destroy())
  return [client, accepted]
}

/** Returns two streams, each of which reads what is written to the other. */
function passThroughPair(options = {}): [Duplex, Duplex] {
  const [forth, back] = [new PassThrough(options), new PassThrough(options)]
  return [
    Duplex.from({ readable: back, writable: forth }),
    Duplex.from({ readable: forth, writable: back }),
  ]
}

const KINDS: [string, () => Promise<[Duplex, Duplex]> | [Duplex, Duplex]][] = [
  ['TLS', tls],
  ['net.Socket', () => nodeSocketPair({ allowHalfOpen: true })],
  ['PassThrough', () => passThroughPair()],
]

const overTracked = <O extends object>(stream: Duplex, options: O) =>
  track(over(stream, options as never) as Channel)

describe.each(KINDS)('a channel over %s', (_, make) => {
  async function channels(options: object, more: object = {}): Promise<[Channel, Channel]> {
    const [a, b] = await make()
    return [overTracked(a, options), overTracked(b, { ...options, ...more })]
  }

  it('carries values of every size in both directions, in order', async () => {
    const [a, b] = await channels(FRAMES)
    const values = [0, 1, 100, 16_384, 65_536, 300_000, 3 * MIB].map(patternBytes)
    for (const value of values) {
      a.send(value)
      b.send(value)
    }
    for (const channel of [a, b]) {
      const got = (await receiveUpTo(channel, values.length)) as Buffer[]
      expect(got.every((one, i) => one.equals(values[i] as Buffer))).toBe(true)
    }
  })

  it('emits its messages, end and close in order, and receive returns null afterwards', async () => {
    const [a, b] = await channels(LINES)
    const events = recordEvents(b)
    a.send('one')
    a.send('naïve 😀')
    await a.close()
    await whenClosed(b)
    expect(events).toEqual(['one', 'naïve 😀', 'end', 'close'])
    expect(await b.receive()).toBe(null)
    expect([a.fd, b.fd, b.closed]).toEqual([-1, -1, true])
  })

  it('sends everything queued before close and flush resolve', async () => {
    const [a, b] = await channels(FRAMES)
    for (let i = 0; i < 40; i++) a.send(patternBytes(50_000 + i))
    const flushed = a.flush()
    const closed = a.close()
    const got = (await receiveAll(b)) as Buffer[]
    expect(got.map(one => one.length)).toEqual(Array.from({ length: 40 }, (_, i) => 50_000 + i))
    await Promise.all([flushed, closed])
  })

  it('returns false from send under back-pressure, and emits drain once the peer reads', async () => {
    const [a, b] = await channels(FRAMES)
    let sent = 1
    while (a.send(patternBytes(10_000))) sent++
    const drained = once(a, 'drain')
    const got = await receiveUpTo(b, sent)
    await drained
    expect(got).toHaveLength(sent)
    expect(a.stats.queuedBytes).toBeLessThanOrEqual(32_768)
  })

  it('stops reading while it has no consumer', async () => {
    const [a, b] = await channels({ ...FRAMES, maxQueued: 256 * MIB })
    b.once('message', () => {})
    a.send('first')
    await once(b, 'message').catch(() => {})
    for (let i = 0; i < 300; i++) {
      a.send(patternBytes(100_000))
      await loopTurns(1)
    }
    expect(a.stats.queuedBytes).toBeGreaterThan(10 * MIB)
    expect(b.stats.unread).toBeLessThan(100)
    expect(await receiveUpTo(b, 300)).toHaveLength(300)
  })

  it('fails with the number of missing bytes if the stream ends within a message', async () => {
    const [stream, other] = await make()
    const channel = overTracked(other, FRAMES)
    channel.on('error', () => {})
    const frame = new Codec('length_prefixed').encode(patternBytes(1_000))
    stream.write(Buffer.concat([frame, frame.subarray(0, 1_003)]))
    stream.end()
    const [first] = (await receiveUpTo(channel, 1)) as Buffer[]
    expect(first?.length).toBe(1_000)
    const cut = { code: 'ERR_FDWIRE_CUT_SHORT', missing: 1 }
    await expect(channel.receive()).rejects.toMatchObject(cut)
    stream.destroy()
  })

  it('fails once with the error of its stream', async () => {
    const [stream, other] = await make()
    stream.on('error', () => {})
    const channel = overTracked(other, FRAMES)
    const events = recordEvents(channel)
    const fatal = new Error('fatal')
    channel.send(patternBytes(MIB))
    const flushed = channel.flush()
    const failed = expect(flushed).rejects.toBe(fatal)
    other.destroy(fatal)
    await failed
    await whenClosed(channel)
    expect(events).toEqual(['fatal', 'close'])
    stream.destroy()
  })

  it('closes at once if its stream is destroyed from outside', async () => {
    const [stream, other] = await make()
    other.on('error', () => {})
    stream.on('error', () => {})
    const channel = overTracked(stream, LINES)
    const events: string[] = []
    for (const event of ['end', 'error', 'close'] as const) {
      channel.on(event, () => void events.push(event))
    }
    channel.on('message', () => {})
    const closed = whenClosed(channel)
    stream.destroy()
    // The limit is well below the 10 s that close() waits for a peer.
    await Promise.race([closed, delay(5_000, 'late', { ref: false })])
    // A stream of Duplex.from emits an error where the others emit an end.
    expect([
      ['end', 'close'],
      ['error', 'close'],
    ]).toContainEqual(events)
    other.destroy()
  })

  it('rejects flush at once and closes if its stream is destroyed with unsent data', async () => {
    const [stream, other] = await make()
    stream.on('error', () => {})
    const channel = overTracked(other, FRAMES)
    channel.on('error', () => {})
    channel.send(patternBytes(24 * MIB))
    const flushed = channel.flush().then(
      () => 'flushed',
      () => 'rejected',
    )
    await loopTurns(2)
    other.destroy()
    expect(await flushed).toBe('rejected')
    await whenClosed(channel)
    stream.destroy()
  })

  it('still receives after end()', async () => {
    const [a, b] = await channels(LINES, { allowHalfOpen: true })
    a.send('request')
    a.end()
    expect(await receiveAll(b)).toEqual(['request'])
    b.send('reply')
    b.end()
    expect(await receiveAll(a)).toEqual(['reply'])
    await Promise.all([whenClosed(a), whenClosed(b)])
  })

  it('cannot be detached', async () => {
    const [a] = await channels(LINES)
    expect(() => a.detach()).toThrow(TypeError)
  })
})

describe("a channel over a child's standard streams", () => {
  it('carries messages in both directions and ends', async () => {
    const child = spawn('cat', [], { stdio: ['pipe', 'pipe', 'inherit'] })
    const stream = Duplex.from({ readable: child.stdout, writable: child.stdin })
    const channel = overTracked(stream, { ...LINES, encoding: 'json' })
    const values = Array.from({ length: 500 }, (_, i) => ({ i, text: 'é'.repeat(i) }))
    channel.sendAll(values as never)
    expect(await receiveUpTo(channel, 500)).toEqual(values)
    channel.end()
    expect(await channel.receive()).toBe(null)
    expect((await once(child, 'close'))[0]).toBe(0)
  })

  it('fails if the child is killed within a message', async () => {
    const child = spawn('sh', ['-c', 'printf "one\\ntw"; read x; kill -9 $$'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const closed = once(child, 'close')
    const stream = Duplex.from({ readable: child.stdout, writable: child.stdin })
    const channel = overTracked(stream, LINES)
    expect((await channel.receive())?.value).toBe('one')
    channel.send('now')
    // Either of the child's two streams may end first.
    await expect(channel.receive()).rejects.toMatchObject({
      code: expect.stringMatching(/^ERR_(?:FDWIRE_CUT_SHORT|STREAM_PREMATURE_CLOSE)$/),
    })
    await closed
  })
})

describe('over', () => {
  const things: [string, () => unknown][] = [
    ['undefined', () => undefined],
    ['an object', () => ({})],
    ['a Writable', () => new Writable({ write() {} })],
    ['a stream in object mode', () => new PassThrough({ objectMode: true })],
    [
      'a stream with a readable side in object mode',
      () => new PassThrough({ readableObjectMode: true }),
    ],
    ['a stream that decodes text', () => new PassThrough().setEncoding('utf8')],
    ['a destroyed stream', () => new PassThrough().destroy()],
    [
      'a stream that already has a channel',
      () => {
        const stream = new PassThrough()
        overTracked(stream, LINES)
        return stream
      },
    ],
    ['an ended stream', () => new PassThrough().end()],
  ]
  it.each(things)('rejects %s', (_, make) => {
    expect(() => over(make() as Duplex, LINES)).toThrow(TypeError)
  })

  it('rejects options that need a socket', () => {
    const call = (options: object) => () => over(new PassThrough(), options as never)
    expect(call({ ...LINES, maxFds: 1 })).toThrow(TypeError)
    expect(call({ ...LINES, type: 'stream' })).toThrow(TypeError)
    expect(call({ protocol: 'jsoncomm' })).toThrow(TypeError)
  })

  it('makes a channel that sends no descriptors', async () => {
    const [a, b] = passThroughPair()
    b.on('error', () => {})
    const channel = overTracked(a, FRAMES)
    expect(() => channel.send('x', { fds: [0] })).toThrow()
    channel.send('y')
  })
})

describe('a TLSSocket', () => {
  it('is rejected by adopt and stays usable', async () => {
    const [client, server] = await tls()
    expect(() => adopt(client, LINES)).toThrow(/over\(\)/)
    const [a, b] = [overTracked(client, LINES), overTracked(server, LINES)]
    a.send('over TLS')
    expect(await receiveUpTo(b, 1)).toEqual(['over TLS'])
    await waitUntil(() => a.stats.queuedBytes === 0)
  })
})
