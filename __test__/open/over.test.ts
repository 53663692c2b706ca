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

/** Both ends of a TLS connection. */
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

/** Two streams, each of which reads what is written to the other. */
function passing(options = {}): [Duplex, Duplex] {
  const [there, back] = [new PassThrough(options), new PassThrough(options)]
  return [
    Duplex.from({ readable: back, writable: there }),
    Duplex.from({ readable: there, writable: back }),
  ]
}

const KINDS: [string, () => Promise<[Duplex, Duplex]> | [Duplex, Duplex]][] = [
  ['TLS', tls],
  ['sockets of Node', () => nodeSocketPair({ allowHalfOpen: true })],
  ['PassThrough', () => passing()],
]

const on = <O extends object>(stream: Duplex, options: O) =>
  track(over(stream, options as never) as Channel)

describe.each(KINDS)('%s', (_, make) => {
  async function two(options: object, more: object = {}): Promise<[Channel, Channel]> {
    const [a, b] = await make()
    return [on(a, options), on(b, { ...options, ...more })]
  }

  it('carries values of every size both ways, in order', async () => {
    const [a, b] = await two(FRAMES)
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

  it('ends cleanly: messages, end, close; receive gives null from then on', async () => {
    const [a, b] = await two(LINES)
    const told = recordEvents(b)
    a.send('one')
    a.send('naïve 😀')
    await a.close()
    await whenClosed(b)
    expect(told).toEqual(['one', 'naïve 😀', 'end', 'close'])
    expect(await b.receive()).toBe(null)
    expect([a.fd, b.fd, b.closed]).toEqual([-1, -1, true])
  })

  it('close sends all that is queued first, and flush waits for it', async () => {
    const [a, b] = await two(FRAMES)
    for (let i = 0; i < 40; i++) a.send(patternBytes(50_000 + i))
    const flushed = a.flush()
    const closed = a.close()
    const got = (await receiveAll(b)) as Buffer[]
    expect(got.map(one => one.length)).toEqual(Array.from({ length: 40 }, (_, i) => 50_000 + i))
    await Promise.all([flushed, closed])
  })

  it('send gives false, and drain comes once the other side reads', async () => {
    const [a, b] = await two(FRAMES)
    let sent = 1
    while (a.send(patternBytes(10_000))) sent++
    const drained = once(a, 'drain')
    const got = await receiveUpTo(b, sent)
    await drained
    expect(got).toHaveLength(sent)
    expect(a.stats.queuedBytes).toBeLessThanOrEqual(32_768)
  })

  it('stops reading when nobody wants messages', async () => {
    const [a, b] = await two({ ...FRAMES, maxQueued: 256 * MIB })
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

  it('an end in mid-message is an error that says what is missing', async () => {
    const [stream, other] = await make()
    const channel = on(other, FRAMES)
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

  it('an error of the stream is the channel’s, once', async () => {
    const [stream, other] = await make()
    stream.on('error', () => {})
    const channel = on(other, FRAMES)
    const told = recordEvents(channel)
    const fatal = new Error('fatal')
    channel.send(patternBytes(MIB))
    const flushed = channel.flush()
    const failed = expect(flushed).rejects.toBe(fatal)
    other.destroy(fatal)
    await failed
    await whenClosed(channel)
    expect(told).toEqual(['fatal', 'close'])
    stream.destroy()
  })

  it('closes at once where its own stream is destroyed by somebody else', async () => {
    const [stream, other] = await make()
    other.on('error', () => {})
    stream.on('error', () => {})
    const channel = on(stream, LINES)
    const told: string[] = []
    for (const event of ['end', 'error', 'close'] as const) {
      channel.on(event, () => void told.push(event))
    }
    channel.on('message', () => {})
    const closed = whenClosed(channel)
    stream.destroy()
    // Long before the 10 s that close() waits for a peer.
    await Promise.race([closed, delay(5_000, 'late', { ref: false })])
    // What Duplex.from makes has an error where others have none.
    expect([
      ['end', 'close'],
      ['error', 'close'],
    ]).toContainEqual(told)
    other.destroy()
  })

  it('a stream that is destroyed ends the channel, and fails what was unsent at once', async () => {
    const [stream, other] = await make()
    stream.on('error', () => {})
    const channel = on(other, FRAMES)
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

  it('end lets the peer answer', async () => {
    const [a, b] = await two(LINES, { allowHalfOpen: true })
    a.send('question')
    a.end()
    expect(await receiveAll(b)).toEqual(['question'])
    b.send('answer')
    b.end()
    expect(await receiveAll(a)).toEqual(['answer'])
    await Promise.all([whenClosed(a), whenClosed(b)])
  })

  it('can not be detached', async () => {
    const [a] = await two(LINES)
    expect(() => a.detach()).toThrow(TypeError)
  })
})

describe('the standard streams of a child', () => {
  it('are a stream like any other', async () => {
    const child = spawn('cat', [], { stdio: ['pipe', 'pipe', 'inherit'] })
    const stream = Duplex.from({ readable: child.stdout, writable: child.stdin })
    const channel = on(stream, { ...LINES, encoding: 'json' })
    const values = Array.from({ length: 500 }, (_, i) => ({ i, text: 'é'.repeat(i) }))
    channel.sendAll(values as never)
    expect(await receiveUpTo(channel, 500)).toEqual(values)
    channel.end()
    expect(await channel.receive()).toBe(null)
    expect((await once(child, 'close'))[0]).toBe(0)
  })

  it('of a child that is killed are cut', async () => {
    const child = spawn('sh', ['-c', 'printf "one\\ntw"; read x; kill -9 $$'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const closed = once(child, 'close')
    const stream = Duplex.from({ readable: child.stdout, writable: child.stdin })
    const channel = on(stream, LINES)
    expect((await channel.receive())?.value).toBe('one')
    channel.send('now')
    // Which of the child's two streams ends first is for Node to say.
    await expect(channel.receive()).rejects.toMatchObject({
      code: expect.stringMatching(/^ERR_(?:FDWIRE_CUT_SHORT|STREAM_PREMATURE_CLOSE)$/),
    })
    await closed
  })
})

describe('what is no stream of bytes', () => {
  const things: [string, () => unknown][] = [
    ['nothing', () => undefined],
    ['an object', () => ({})],
    ['a Writable', () => new Writable({ write() {} })],
    ['one of objects', () => new PassThrough({ objectMode: true })],
    ['one whose readable side is of objects', () => new PassThrough({ readableObjectMode: true })],
    ['one that gives text', () => new PassThrough().setEncoding('utf8')],
    ['one that was destroyed', () => new PassThrough().destroy()],
    [
      "a channel's",
      () => {
        const stream = new PassThrough()
        on(stream, LINES)
        return stream
      },
    ],
    ['one that was ended', () => new PassThrough().end()],
  ]
  it.each(things)('%s is refused', (_, make) => {
    expect(() => over(make() as Duplex, LINES)).toThrow(TypeError)
  })

  it('options that need a socket are refused', () => {
    const refused = (options: object) => () => over(new PassThrough(), options as never)
    expect(refused({ ...LINES, maxFds: 1 })).toThrow(TypeError)
    expect(refused({ ...LINES, type: 'stream' })).toThrow(TypeError)
    expect(refused({ protocol: 'jsoncomm' })).toThrow(TypeError)
  })

  it('descriptors can not be sent', async () => {
    const [a, b] = passing()
    b.on('error', () => {})
    const channel = on(a, FRAMES)
    expect(() => channel.send('x', { fds: [0] })).toThrow()
    channel.send('y')
  })
})

describe('a TLSSocket', () => {
  it('is refused by adopt, and stays as it was', async () => {
    const [client, server] = await tls()
    expect(() => adopt(client, LINES)).toThrow(/over\(\)/)
    const [a, b] = [on(client, LINES), on(server, LINES)]
    a.send('fine')
    expect(await receiveUpTo(b, 1)).toEqual(['fine'])
    await waitUntil(() => a.stats.queuedBytes === 0)
  })
})
