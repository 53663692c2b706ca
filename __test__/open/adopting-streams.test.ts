import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
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
import { cleanUpAfterEach, O_NONBLOCK, Peer, testPath } from '../support/processes.js'
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

/** The open file description's flags. */
function flagsOf(fd: number): number {
  const info = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')
  return Number.parseInt(/flags:\s*(\d+)/.exec(info)?.[1] as string, 8)
}

describe('a net.Socket', () => {
  it('becomes a channel, and is destroyed', async () => {
    const [a, b] = await nodeSocketPair()
    const [x, y] = [track(adopt(a, LINES)), track(adopt(b, LINES))]
    expect([a.destroyed, b.destroyed]).toEqual([true, true])
    x.send('there')
    y.send('back')
    expect([...(await receiveUpTo(y, 1)), ...(await receiveUpTo(x, 1))]).toEqual(['there', 'back'])
    expect(x.remoteAddress).toEqual(y.localAddress)
  })

  it('loses nothing of what Node has read, paused or flowing, with a reader or without', async () => {
    const values = Array.from({ length: 4_000 }, (_, i) => `line ${i} naïve`)
    const how: ((socket: Socket) => unknown)[] = [
      () => {},
      socket => socket.pause(),
      socket => socket.on('readable', () => {}),
      socket => socket.resume().pause(),
      socket => socket.on('data', () => {}).pause(),
    ]
    for (const prepare of how) {
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

  it('gives its listeners nothing of what the channel gets', async () => {
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

  it('reads head first, then what Node has read, then the rest', async () => {
    const [socket, other] = await nodeSocketPair()
    socket.write('second\nth')
    await once(other, 'readable')
    const head = Buffer.from('first\n')
    const channel = track(adopt(other, { ...LINES, head }))
    head.fill(0)
    socket.write('ird\n')
    expect(await receiveUpTo(channel as Channel, 3)).toEqual(['first', 'second', 'third'])
  })

  it('of an upgrade keeps what came with its head', async () => {
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

  it('that has ended already gives its messages and the end', async () => {
    const [socket, other] = await nodeSocketPair()
    socket.end('one\ntwo\n')
    await once(other, 'readable')
    await loopTurns(10)
    const channel = track(adopt(other, LINES)) as Channel
    expect(await receiveUpTo(channel, 3)).toEqual(['one', 'two'])
  })

  it('with unsent data is refused, and stays as it was', async () => {
    const [socket, other] = await nodeSocketPair()
    other.write('early')
    socket.write(patternBytes(16 * MIB))
    expect(() => adopt(socket, FRAMES)).toThrow(errorWithCode('NOT_QUIET'))
    expect(socket.destroyed).toBe(false)
    other.resume()
    await once(socket, 'drain')
  })

  it('that is refused has lost nothing', async () => {
    const [socket, other] = await nodeSocketPair()
    socket.write('kept')
    await once(other, 'readable')
    expect(() => adopt(other, { protocol: 'lines', type: 'dgram' } as never)).toThrow(TypeError)
    expect(String(other.read())).toBe('kept')
  })

  it('that is connecting, closed or gives text is refused', async () => {
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

describe('a descriptor', () => {
  it('may have a head, of any size', async () => {
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

  it('of another kind is refused, and left open', async () => {
    const listener = await startListener('', LINES)
    const refused = (fd: number, options: object, error: unknown) => {
      expect(() => adopt(fd, options as never)).toThrow(error as Error)
      expect(isOpen(fd)).toBe(true)
    }
    const file = openSync('/dev/null', 'r')
    refused(file, LINES, errorWithCode('NOT_A_SOCKET'))
    closeSync(file)
    refused(listener.fd, LINES, /belongs to/)
    const [dgram, other] = pair({ protocol: 'jsoncomm' }).map(track) as [Channel, Channel]
    const [one, two] = [dgram.detach(), other.detach()]
    refused(one, LINES, errorWithCode('WRONG_SOCKET'))
    const [stream] = streamPair(LINES)
    const fd = stream.detach()
    refused(fd, { protocol: 'jsoncomm' }, errorWithCode('WRONG_SOCKET'))
    for (const left of [one, two, fd]) closeSync(left)
  })

  it('keeps its O_NONBLOCK as it was found', async () => {
    const [a, b] = streamPair(LINES)
    const [, accepted] = await nodeSocketPair()
    const socket = (accepted as never as { _handle: { fd: number } })._handle.fd
    const before = [flagsOf(b.fd) & O_NONBLOCK, flagsOf(socket) & O_NONBLOCK]
    // libuv has set it on its own, and nobody on the pair's.
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

describe('detach', () => {
  it('with half a message, something unread or unsent, or a call that waits: NOT_QUIET', async () => {
    const [raw, channel] = rawStreamPair(LINES)
    const refused = () => expect(() => channel.detach()).toThrow(errorWithCode('NOT_QUIET'))
    raw.send('one\ntwo\nthr')
    expect((await channel.receive())?.value).toBe('one')
    refused()
    await receiveUpTo(channel, 1)
    refused()
    raw.send('ee\n')
    await receiveUpTo(channel, 1)
    const waiting = channel.receive()
    refused()
    raw.send('four\n')
    await waiting
    channel.send('x'.repeat(4 * MIB))
    refused()
    raw.on('message', () => {})
    await channel.flush()
    closeSync(channel.detach())
  })

  it('sends what was gathered in this tick first', async () => {
    const [a, b] = streamPair(LINES)
    a.send('gathered')
    const fd = a.detach()
    expect(await receiveUpTo(b, 1)).toEqual(['gathered'])
    closeSync(fd)
  })

  it.each(['a pair', 'TCP'])('and adopt in mid-stream lose nothing, over %s', async way => {
    const [a, b] = way === 'TCP' ? await tcpPair(LINES) : streamPair(LINES)
    let receiver = b
    const got: unknown[] = []
    for (let i = 0; i < 200; i++) a.send(`${i}`)
    await a.flush()
    // Between whole messages that stand in the kernel.
    while (got.length < 200) {
      const { unread, inHand } = receiver.stats
      if (unread === 0 && inHand === 0) receiver = track(adopt(receiver.detach(), LINES)) as Channel
      got.push(...(await receiveUpTo(receiver, 1)))
    }
    expect(got).toEqual(Array.from({ length: 200 }, (_, i) => `${i}`))
  })

  it('to a worker thread, and back to nobody when that is terminated', async () => {
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

  it('to a child process', async () => {
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

  it('of a channel that a listener has accepted frees its place there', async () => {
    const listener = await startListener('', { ...LINES, maxConnections: 1 })
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
