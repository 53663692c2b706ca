import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, connect as dial, Socket } from 'node:net'
import { Worker } from 'node:worker_threads'
import { adopt, type Channel, Codec, connect, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import {
  destroyChannelsAfterEach,
  errorWithCode,
  isOpen,
  loopTurns,
  track,
} from '../support/channels.js'
import { cleanUpAfterEach, flagsOf, O_NONBLOCK, Peer, testPath } from '../support/processes.js'
import {
  afterTest,
  FRAMES,
  LINES,
  nodeSocketAndChannel,
  nodeSocketPair,
  patternBytes,
  RAW_STREAM,
  rawStreamPair,
  receiveUpTo,
  runCleanupsAfterEach,
  startListener,
  streamPair,
  tcpPair,
  waitUntil,
} from '../support/streams.js'

destroyChannelsAfterEach()
runCleanupsAfterEach()
cleanUpAfterEach()

const MIB = 1024 * 1024

describe('adopt of a net.Socket', () => {
  it('returns a working channel and destroys the net.Socket', async () => {
    const [a, b] = await nodeSocketPair()
    const [x, y] = [track(adopt(a, LINES)), track(adopt(b, LINES))]
    expect([a.destroyed, b.destroyed]).toEqual([true, true])
    x.send('there')
    y.send('back')
    expect([...(await receiveUpTo(y, 1)), ...(await receiveUpTo(x, 1))]).toEqual(['there', 'back'])
    expect(x.remoteAddress).toEqual(y.localAddress)
  })

  it('delivers what Node has already read, in every state of the net.Socket', async () => {
    const values = Array.from({ length: 4_000 }, (_, i) => `line ${i} naïve`)
    const states: ((socket: Socket) => unknown)[] = [
      () => {},
      socket => socket.pause(),
      socket => socket.on('readable', () => {}),
      socket => socket.resume().pause(),
      socket => socket.on('data', () => {}).pause(),
    ]
    for (const prepare of states) {
      const [socket, other] = await nodeSocketPair()
      prepare(other)
      socket.write(
        values
          .slice(0, 2_000)
          .map(line => `${line}\n`)
          .join(''),
      )
      await loopTurns(20)
      const channel = track(adopt(other, LINES))
      socket.write(
        values
          .slice(2_000)
          .map(line => `${line}\n`)
          .join(''),
      )
      expect(await receiveUpTo(channel as Channel, 4_000)).toEqual(values)
    }
  })

  it("passes none of the channel's input to listeners of the net.Socket", async () => {
    const [socket, other] = await nodeSocketPair()
    const seen: string[] = []
    other.on('data', chunk => seen.push(String(chunk)))
    socket.write('one\n')
    await waitUntil(() => seen.length === 1)
    other.pause()
    socket.write('two\n')
    await waitUntil(() => other.readableLength > 0 || other.isPaused())
    await loopTurns(10)
    const channel = track(adopt(other, LINES))
    socket.write('three\n')
    expect(await receiveUpTo(channel as Channel, 2)).toEqual(['two', 'three'])
    await loopTurns(5)
    expect(seen).toEqual(['one\n'])
  })

  it('delivers head first, then what Node has read, then further input', async () => {
    const [socket, other] = await nodeSocketPair()
    socket.write('second\nth')
    await once(other, 'readable')
    const head = Buffer.from('first\n')
    const channel = track(adopt(other, { ...LINES, head }))
    head.fill(0)
    socket.write('ird\n')
    expect(await receiveUpTo(channel as Channel, 3)).toEqual(['first', 'second', 'third'])
  })

  it('delivers the head of an HTTP upgrade', async () => {
    const server = createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    afterTest(() => server.close())
    const upgraded = new Promise<Channel>(resolve => {
      server.on('upgrade', (_, socket, head) => {
        socket.write('HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n', () => {
          resolve(track(adopt(socket as Socket, { ...LINES, head }) as Channel))
        })
      })
    })
    const client = dial((server.address() as AddressInfo).port, '127.0.0.1')
    afterTest(() => client.destroy())
    client.write(
      'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nearly\nlate',
    )
    const channel = await upgraded
    client.write('r\n')
    expect(await receiveUpTo(channel, 2)).toEqual(['early', 'later'])
    channel.send('answer')
    let got = ''
    client.on('data', chunk => {
      got += chunk
    })
    await waitUntil(() => got.endsWith('answer\n'))
  })

  it('delivers the messages and the end if the peer has already ended', async () => {
    const [socket, other] = await nodeSocketPair()
    socket.end('one\ntwo\n')
    await once(other, 'readable')
    await loopTurns(10)
    const channel = track(adopt(other, LINES)) as Channel
    expect(await receiveUpTo(channel, 3)).toEqual(['one', 'two'])
  })

  it('fails with NOT_QUIET if data is unsent, and leaves the net.Socket usable', async () => {
    const [socket, other] = await nodeSocketPair()
    other.write('early')
    socket.write(patternBytes(16 * MIB))
    expect(() => adopt(socket, FRAMES)).toThrow(errorWithCode('NOT_QUIET'))
    expect(socket.destroyed).toBe(false)
    other.resume()
    await once(socket, 'drain')
  })

  it("leaves the net.Socket's input intact if an option is wrong", async () => {
    const [socket, other] = await nodeSocketPair()
    socket.write('kept')
    await once(other, 'readable')
    expect(() => adopt(other, { protocol: 'lines', type: 'dgram' } as never)).toThrow(TypeError)
    expect(String(other.read())).toBe('kept')
  })

  it('fails if the net.Socket is connecting, closed or decodes text', async () => {
    const [socket, other] = await nodeSocketPair()
    other.setEncoding('utf8')
    expect(() => adopt(other, LINES)).toThrow(/setEncoding/)
    expect(() => adopt(new Socket(), LINES)).toThrow(errorWithCode('FD_GONE'))
    const connecting = dial(1, '127.0.0.1')
    connecting.on('error', () => {})
    expect(() => adopt(connecting, LINES)).toThrow(errorWithCode('FD_GONE'))
    socket.destroy()
    expect(() => adopt(socket, LINES)).toThrow(errorWithCode('FD_GONE'))
    await new Promise(done => connecting.once('close', done))
  })
})

describe('adopt of a stream descriptor', () => {
  it('delivers a head of any size first', async () => {
    const values = [patternBytes(10), patternBytes(5 * MIB), patternBytes(70_000)]
    const codec = new Codec('length_prefixed')
    const [raw, other] = pair(RAW_STREAM)
    track(raw)
    const head = Buffer.concat([...values, patternBytes(100_000)].map(value => codec.encode(value)))
    const channel = track(adopt(other.detach(), { ...FRAMES, head: head.subarray(0, -10) }))
    raw.send(head.subarray(-10))
    const got = (await receiveUpTo(channel as Channel, 4)) as Buffer[]
    expect(got.map(one => one.length)).toEqual([10, 5 * MIB, 70_000, 100_000])
    expect(got[1]?.equals(values[1] as Buffer)).toBe(true)
  })

  it('fails for a descriptor of another kind and leaves it open', async () => {
    const listener = await startListener(null, LINES)
    const rejects = (fd: number, options: object, error: unknown) => {
      expect(() => adopt(fd, options as never)).toThrow(error as Error)
      expect(isOpen(fd)).toBe(true)
    }
    const file = openSync('/dev/null', 'r')
    rejects(file, LINES, errorWithCode('NOT_A_SOCKET'))
    closeSync(file)
    rejects(listener.fd, LINES, /belongs to/)
    const [dgram, other] = pair({ protocol: 'jsoncomm' }).map(track) as [Channel, Channel]
    const [one, two] = [dgram.detach(), other.detach()]
    rejects(one, LINES, errorWithCode('WRONG_SOCKET'))
    const [stream] = streamPair(LINES)
    const fd = stream.detach()
    rejects(fd, { protocol: 'jsoncomm' }, errorWithCode('WRONG_SOCKET'))
    for (const left of [one, two, fd]) closeSync(left)
  })

  it('preserves O_NONBLOCK until detach', async () => {
    const [a, b] = streamPair(LINES)
    const [, accepted] = await nodeSocketPair()
    const socket = (accepted as never as { _handle: { fd: number } })._handle.fd
    const before = [flagsOf(b.fd) & O_NONBLOCK, flagsOf(socket) & O_NONBLOCK]
    // libuv sets it on the sockets it creates; it is not set on the pair's.
    expect(before).toEqual([0, O_NONBLOCK])
    a.send('x'.repeat(MIB))
    const [received] = await receiveUpTo(b, 1)
    expect((received as string).length).toBe(MIB)
    b.send('y'.repeat(MIB))
    await receiveUpTo(a, 1)
    await b.flush()
    const fds = [b.detach(), adopt(accepted, LINES).detach()]
    expect(fds.map(fd => flagsOf(fd) & O_NONBLOCK)).toEqual(before)
    for (const fd of fds) closeSync(fd)
  })
})

describe('detach of a stream', () => {
  it('fails with NOT_QUIET while a message is partial, unread, unsent or awaited', async () => {
    const [raw, channel] = rawStreamPair(LINES)
    const expectNotQuiet = () => expect(() => channel.detach()).toThrow(errorWithCode('NOT_QUIET'))
    raw.send('one\ntwo\nthr')
    expect((await channel.receive())?.value).toBe('one')
    expectNotQuiet()
    await receiveUpTo(channel, 1)
    expectNotQuiet()
    raw.send('ee\n')
    await receiveUpTo(channel, 1)
    const waiting = channel.receive()
    expectNotQuiet()
    raw.send('four\n')
    await waiting
    channel.send('x'.repeat(4 * MIB))
    expectNotQuiet()
    raw.on('message', () => {})
    await channel.flush()
    closeSync(channel.detach())
  })

  it('sends the messages of the current tick first', async () => {
    const [a, b] = streamPair(LINES)
    a.send('gathered')
    const fd = a.detach()
    expect(await receiveUpTo(b, 1)).toEqual(['gathered'])
    closeSync(fd)
  })

  it.each(['a pair', 'TCP'])(
    'loses nothing if the socket is adopted again between two messages, over %s',
    async way => {
      const [a, b] = way === 'TCP' ? await tcpPair(LINES) : streamPair(LINES)
      let receiver = b
      const got: unknown[] = []
      for (let i = 0; i < 200; i++) a.send(`${i}`)
      await a.flush()
      // The channel is quiet where the bytes read so far end with a message.
      while (got.length < 200) {
        const { unread, inHand } = receiver.stats
        if (unread === 0 && inHand === 0)
          receiver = track(adopt(receiver.detach(), LINES)) as Channel
        got.push(...(await receiveUpTo(receiver, 1)))
      }
      expect(got).toEqual(Array.from({ length: 200 }, (_, i) => `${i}`))
    },
  )

  it('moves the socket to a worker thread, and the peer sees the end when that is terminated', async () => {
    const [a, b] = await tcpPair(LINES)
    a.send('before')
    await receiveUpTo(b, 1)
    a.send('in between')
    await a.flush()
    const worker = new Worker(new URL('../support/children/worker-streams.mjs', import.meta.url), {
      workerData: { name: 'echoes', fd: b.detach() },
    })
    a.send('after')
    expect(await receiveUpTo(a, 2)).toEqual(['echo in between', 'echo after'])
    await worker.terminate()
    expect(await a.receive()).toBe(null)
  })

  it('moves the socket to a child process', async () => {
    const [socket, channel] = await nodeSocketAndChannel(LINES)
    socket.write('from the parent\n')
    const fd = channel.detach()
    const peer = new Peer(
      process.execPath,
      [testPath('support/children/streams.mjs'), 'inherits'],
      {
        stdio: ['pipe', 'pipe', 'pipe', fd],
      },
    )
    closeSync(fd)
    expect(await peer.receive()).toBe('ready')
    peer.send({})
    expect(String((await once(socket, 'data'))[0])).toBe('from the child\n')
    expect(await peer.receive()).toBe('from the parent')
  })

  it('frees the place of an accepted channel under maxConnections', async () => {
    const listener = await startListener(null, { ...LINES, maxConnections: 1 })
    const got: Channel[] = []
    listener.on('connection', channel => void got.push(track(channel)))
    const to = listener.address as string
    track((await connect(to, LINES)) as Channel)
    track((await connect(to, LINES)) as Channel)
    await waitUntil(() => got.length === 1)
    const fd = got[0]?.detach() as number
    await waitUntil(() => got.length === 2)
    closeSync(fd)
  })
})
