/**
 * Socket over SOCK_SEQPACKET: the original's current tests (osbuild's test_util_jsoncomm.py), and
 * more.
 */
import { closeSync, existsSync, mkdirSync, openSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect, FdSet, pair } from 'fdwire'
import { type Received, Socket } from 'fdwire/jsoncomm'
import { afterEach, describe, expect, it } from 'vitest'
import { errorWithCode, isOpen } from '../../support/channels.js'
import {
  cleanUpAfterEach,
  pythonPeer,
  readContents,
  temporaryDirectory,
} from '../../support/processes.js'

cleanUpAfterEach()

const SEQPACKET = { type: 'seqpacket' } as const
const RAW = { protocol: 'raw', type: 'seqpacket' } as const
const hex = (path: string) => Buffer.from(path).toString('hex')
const open: Socket[] = []
const home = process.cwd()
afterEach(async () => {
  process.chdir(home)
  await Promise.all(open.splice(0).map(socket => socket.close()))
})
/** Registers a socket to be closed after the test, and returns it. */
const track = <S extends Socket | null>(socket: S) => {
  if (socket !== null) open.push(socket)
  return socket as NonNullable<S>
}
const socketPair = () => Socket.newPair(SEQPACKET).map(track) as [Socket, Socket]
/** Creates and opens a file with this content. */
const openFile = (text: string) => {
  const path = join(temporaryDirectory(), 'file')
  writeFileSync(path, text)
  return openSync(path, 'r')
}

/** Starts a server at a temporary path. */
async function startServer() {
  const path = join(temporaryDirectory(), 'socket')
  return { path, server: track(await Socket.newServer(path, SEQPACKET)) }
}

/** Returns a server, a client and the accepted socket. */
async function connectedSockets() {
  const { path, server } = await startServer()
  const client = track(await Socket.newClient(path, SEQPACKET))
  return { path, server, client, peer: track(await server.accept()) }
}

describe('a seqpacket Socket (test_ping_pong)', () => {
  it('exchanges messages between a client and a server', async () => {
    const { client, peer, path } = await connectedSockets()
    const ping = { ping: 'é 😀', list: [1, 2.5, null] }
    await client.send(ping)
    expect(await peer.recv()).toMatchObject({ payload: ping, address: null })
    await peer.send({ pong: true })
    expect(await client.recv()).toMatchObject({ payload: { pong: true }, address: path })
  })

  it('exchanges messages with a Python client and a Python server', async () => {
    const { path, server } = await startServer()
    const pythonClient = pythonPeer()
    await pythonClient.request({ op: 'open', kind: 'SOCK_SEQPACKET', bind: '', connect: hex(path) })
    const peer = track(await server.accept())
    await pythonClient.request({ op: 'send', value: { fd: 0 }, texts: ['from Python'] })
    const { payload, fds, address } = (await peer.recv()) as Received
    expect([payload, readContents(fds.get(0))]).toEqual([{ fd: 0 }, 'from Python'])
    // Like those of the original, the client is autobound.
    expect(address).toMatch(/^\0[0-9a-f]{5}$/)
    await peer.send('to Python', { fds })
    fds.close()
    expect(await pythonClient.request({ op: 'recv' })).toMatchObject({
      value: 'to Python',
      texts: ['from Python'],
      cut: false,
    })
    await peer.close()
    expect(await pythonClient.request({ op: 'recv' })).toEqual({ end: true })

    const pythonServer = pythonPeer()
    const pythonPath = join(temporaryDirectory(), 'python')
    await pythonServer.request({
      op: 'open',
      kind: 'SOCK_SEQPACKET',
      bind: hex(pythonPath),
      listen: true,
    })
    const client = track(await Socket.newClient(pythonPath, SEQPACKET))
    await pythonServer.request({ op: 'accept' })
    await client.send({ n: 1 })
    expect((await pythonServer.request({ op: 'recv' })).value).toEqual({ n: 1 })
    await pythonServer.request({ op: 'send', value: 'last' })
    await pythonServer.request({ op: 'close' })
    expect((await client.recv())?.payload).toBe('last')
    expect(await client.recv()).toBeNull()
  })
})

describe('a seqpacket Socket with descriptors (test_scm_rights)', () => {
  it('sends duplicates, so the sender may close its descriptors at once', async () => {
    const [a, b] = socketPair()
    const fds = ['one', 'two', 'three'].map(openFile)
    const sent = a.send([0, 1, 2], { fds })
    for (const fd of fds) closeSync(fd)
    await sent
    const message = (await b.recv()) as Received
    expect([...message.fds].map(readContents)).toEqual(['one', 'two', 'three'])
    message.fds.close()
  })
})

describe('closing a seqpacket server (test_listener_cleanup, test_contextlib)', () => {
  it('unlinks its path, also after chdir and a rename of its directory', async () => {
    const dir = temporaryDirectory()
    mkdirSync(join(dir, 'a'))
    process.chdir(join(dir, 'a'))
    const server = await Socket.newServer('socket', SEQPACKET)
    process.chdir('/')
    renameSync(join(dir, 'a'), join(dir, 'b'))
    expect(existsSync(join(dir, 'b/socket'))).toBe(true)
    const fd = server.fileno()
    expect(isOpen(fd)).toBe(true)
    await server[Symbol.asyncDispose]()
    await server.close()
    expect([server.fileno(), isOpen(fd), existsSync(join(dir, 'b/socket'))]).toEqual([
      -1,
      false,
      false,
    ])
    expect(() => server.listen()).toThrow(errorWithCode('CLOSED'))
    await expect(server.accept()).rejects.toEqual(errorWithCode('CLOSED'))
  })

  it('leaves accepted sockets open', async () => {
    const { server, client, peer } = await connectedSockets()
    await server.close()
    await client.send('message')
    expect((await peer.recv())?.payload).toBe('message')
  })
})

describe('Socket.accept (test_accept_timeout)', () => {
  it('is aborted by a timeout or signal without losing a connection', async () => {
    const { server, path } = await startServer()
    await expect(server.accept({ timeout: 5 })).rejects.toEqual(errorWithCode('TIMEOUT'))
    const controller = new AbortController()
    const waiting = server.accept({ signal: controller.signal })
    controller.abort()
    await expect(waiting).rejects.toHaveProperty('name', 'AbortError')
    await expect(server.accept({ signal: controller.signal })).rejects.toHaveProperty(
      'name',
      'AbortError',
    )
    const client = track(await Socket.newClient(path, SEQPACKET))
    await client.send('for the next accept')
    const peer = track(await server.accept({ timeout: 20_000 }))
    expect((await peer.recv())?.payload).toBe('for the next accept')
  })

  it('resolves in the order of the calls and skips an aborted one', async () => {
    const { server, path } = await startServer()
    const controller = new AbortController()
    const first = server.accept()
    const aborted = server.accept({ signal: controller.signal }).catch(error => error.name)
    const last = server.accept()
    controller.abort()
    for (const n of [1, 2]) await track(await Socket.newClient(path, SEQPACKET)).send(n)
    expect(await aborted).toBe('AbortError')
    expect((await track(await first).recv())?.payload).toBe(1)
    expect((await track(await last).recv())?.payload).toBe(2)
  })

  it('resolves to null when the server is closed', async () => {
    const { server } = await startServer()
    const waiting = server.accept({ timeout: 20_000 })
    await server.close()
    expect(await waiting).toBeNull()
  })

  it("rejects while the listener has a 'connection' listener", async () => {
    const { server } = await startServer()
    server.listener?.on('connection', () => {})
    await expect(server.accept()).rejects.toEqual(errorWithCode('CONSUMER_CONFLICT'))
  })
})

describe('Socket.listen', () => {
  it('confirms the backlog of newServer and throws for another one', async () => {
    const path = join(temporaryDirectory(), 'socket')
    const server = track(await Socket.newServer(path, { ...SEQPACKET, backlog: 5 }))
    server.listen()
    server.listen(5)
    expect(() => server.listen(6)).toThrow(/already listens with backlog 5, not 6/)
    track(await Socket.newClient(path, SEQPACKET))
    track(await server.accept())
  })

  it('fails on a datagram or connected socket, as accept does', async () => {
    const dgram = track(await Socket.newServer(join(temporaryDirectory(), 'socket')))
    const [connected] = socketPair()
    expect(() => dgram.listen()).toThrow(/a datagram socket does not accept connections/)
    expect(() => connected.listen()).toThrow(/a connected socket does not accept connections/)
    await expect(dgram.accept()).rejects.toThrow(TypeError)
    await expect(connected.accept()).rejects.toThrow(TypeError)
  })

  it('does not connect the server: send and recv reject with ENOTCONN', async () => {
    const { server } = await startServer()
    const notConnected = expect.objectContaining({ code: 'ENOTCONN' })
    await expect(server.send(1)).rejects.toEqual(notConnected)
    await expect(server.recv()).rejects.toEqual(notConnected)
    await expect(server.sendAndRecv(1)).rejects.toEqual(notConnected)
    expect(() => server.channel).toThrow(TypeError)
    expect([server.type, server.listener?.address]).toEqual(['seqpacket', expect.any(String)])
  })
})

describe('Socket.newPair (test_socket_pair)', () => {
  it('returns two connected sockets', async () => {
    const [a, b] = socketPair()
    expect([a.type, a.channel.type, a.listener]).toEqual(['seqpacket', 'seqpacket', undefined])
    await a.send({ from: 'a' })
    await b.send({ from: 'b' })
    expect((await a.recv())?.payload).toEqual({ from: 'b' })
    expect(await b.recv()).toMatchObject({ payload: { from: 'a' }, address: null })
  })
})

describe('Socket.newFromFd (test_from_fd)', () => {
  it('takes ownership of a descriptor of either type', async () => {
    for (const type of ['seqpacket', 'dgram'] as const) {
      const [a, b] = pair({ protocol: 'jsoncomm', type })
      const fd = b.detach()
      const socket = track(Socket.newFromFd(fd))
      expect([socket.type, socket.fileno()]).toEqual([type, fd])
      a.send('hello')
      expect((await socket.recv())?.payload).toBe('hello')
      await socket.close()
      expect(isOpen(fd)).toBe(false)
      await a.close()
    }
  })

  it('with closeFd: false duplicates the descriptor and leaves the original open', async () => {
    const [a, b] = pair({ protocol: 'jsoncomm', type: 'seqpacket' })
    const fd = b.detach()
    const socket = track(Socket.newFromFd(fd, { closeFd: false }))
    expect(socket.fileno()).not.toBe(fd)
    await socket.send('through the duplicate')
    expect((await a.receive())?.value).toBe('through the duplicate')
    await socket.close()
    expect(isOpen(fd)).toBe(true)
    closeSync(fd)
    await a.close()
  })

  it('accepts a descriptor of an FdSet only with closeFd: false', async () => {
    const [a, b] = pair({ protocol: 'jsoncomm', type: 'seqpacket' })
    const set = FdSet.from([b.detach()])
    expect(() => Socket.newFromFd(set.get(0))).toThrow(TypeError)
    const socket = track(Socket.newFromFd(set.get(0), { closeFd: false }))
    set.close()
    a.send(1)
    expect((await socket.recv())?.payload).toBe(1)
    await a.close()
  })

  it('accepts connections on a listening socket', async () => {
    const { server, path } = await startServer()
    const duplicate = track(Socket.newFromFd(server.fileno(), { closeFd: false }))
    duplicate.listen()
    expect(() => duplicate.listen(5)).toThrow(/an unknown backlog/)
    const client = track(await Socket.newClient(path, SEQPACKET))
    await client.send('message for the duplicate')
    const peer = track(await duplicate.accept())
    expect((await peer.recv())?.payload).toBe('message for the duplicate')
  })

  it('leaves a rejected descriptor open and leaks no duplicate', async () => {
    const fd = openSync('/dev/null', 'r')
    const [a, b] = pair({ protocol: 'raw', type: 'stream' })
    const stream = b.detach()
    for (const closeFd of [true, false]) {
      expect(() => Socket.newFromFd(fd, { closeFd })).toThrow(errorWithCode('NOT_A_SOCKET'))
      expect(() => Socket.newFromFd(stream, { closeFd })).toThrow(errorWithCode('WRONG_SOCKET'))
    }
    closeSync(fd)
    closeSync(stream)
    await a.close()
    expect(() => Socket.newFromFd(stream, { closeFd: false })).toThrow(errorWithCode('EBADF'))
    expect(() => Socket.newFromFd('3' as never)).toThrow(TypeError)
  })
})

describe('Socket.sendAndRecv (test_send_and_recv)', () => {
  it('matches replies to concurrent requests in order', async () => {
    const { client, peer } = await connectedSockets()
    const replies = [1, 2, 3].map(n => client.sendAndRecv(n, { timeout: 20_000 }))
    for (let i = 0; i < 3; i++) await peer.send((await peer.recv())?.payload * 10)
    expect((await Promise.all(replies)).map(reply => reply.payload)).toEqual([10, 20, 30])
  })
})

describe('the end of a seqpacket connection', () => {
  it('makes recv resolve to null and send reject with EPIPE', async () => {
    const [a, b] = socketPair()
    await a.send('last')
    await a.close()
    expect((await b.recv())?.payload).toBe('last')
    expect([await b.recv(), await b.recv()]).toEqual([null, null])
    await expect(b.send('after the end')).rejects.toEqual(errorWithCode('EPIPE'))
    await b.close()
    await expect(b.send('closed')).rejects.toEqual(errorWithCode('CLOSED'))
    expect(await b.recv()).toBeNull()
  })

  it('is not signalled by an empty message, which is malformed', async () => {
    const { server, path } = await startServer()
    const raw = await connect(path, RAW)
    const peer = track(await server.accept())
    for (const text of ['1', '', 'no json', '2']) raw.send(text)
    expect((await peer.recv())?.payload).toBe(1)
    await expect(peer.recv()).rejects.toEqual(errorWithCode('ERR_FDWIRE_EMPTY_MESSAGE'))
    await expect(peer.recv()).rejects.toEqual(errorWithCode('NOT_JSON'))
    expect((await peer.recv())?.payload).toBe(2)
    await raw.close()
    expect(await peer.recv()).toBeNull()
  })
})

describe('the options of a seqpacket Socket', () => {
  it('include those of listen, connect and bind', async () => {
    const path = join(temporaryDirectory(), 'socket')
    const server = track(
      await Socket.newServer(path, { ...SEQPACKET, mode: 0o666, maxMessage: 10 }),
    )
    const client = track(await Socket.newClient(path, { ...SEQPACKET, timeout: 20_000 }))
    const peer = track(await server.accept())
    await client.send('x'.repeat(20))
    await expect(peer.recv()).rejects.toEqual(errorWithCode('MESSAGE_TOO_LARGE'))
  })

  it('exclude those that Socket sets itself', async () => {
    const path = join(temporaryDirectory(), 'socket')
    const wrong = { protocol: 'raw' } as never
    await expect(Socket.newServer(path, wrong)).rejects.toThrow(/no option protocol/)
    await expect(Socket.newClient(path, { encoding: 'json' } as never)).rejects.toThrow(TypeError)
    await expect(Socket.newServer(path, { backlog: 5 })).rejects.toThrow(/no option backlog/)
    await expect(Socket.newClient(undefined, SEQPACKET)).rejects.toThrow(/needs a path/)
    await expect(Socket.newServer(path, { type: 'stream' as never })).rejects.toThrow(TypeError)
    expect(() => Socket.newPair({ nonsense: 1 } as never)).toThrow(TypeError)
    expect(() => Socket.newFromFd(0, SEQPACKET as never)).toThrow(/no option type/)
    expect(() => Socket.newFromFd(0, { closeFd: 1 as never })).toThrow(TypeError)
    expect(existsSync(path)).toBe(false)
  })

  it('include the type, which must match that of the server', async () => {
    const { path } = await startServer()
    await expect(Socket.newClient(path)).rejects.toEqual(errorWithCode('EPROTOTYPE'))
    const dgram = join(temporaryDirectory(), 'dgram')
    track(await Socket.newServer(dgram))
    await expect(Socket.newClient(dgram, SEQPACKET)).rejects.toEqual(errorWithCode('EPROTOTYPE'))
  })
})

describe('an iterator of the listener', () => {
  it('shares the connections with accept in the order of the calls', async () => {
    const { server, path } = await startServer()
    const next = server.listener?.[Symbol.asyncIterator]().next()
    const second = server.accept()
    for (const n of [1, 2]) await track(await Socket.newClient(path, SEQPACKET)).send(n)
    const channel = (await next)?.value
    expect((await channel?.receive())?.value).toBe(1)
    await channel?.close()
    expect((await track(await second).recv())?.payload).toBe(2)
  })
})
