/** The original's own tests of today (osbuild's test_util_jsoncomm.py), over SOCK_SEQPACKET. */
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
const keep = <S extends Socket | null>(socket: S) => {
  if (socket !== null) open.push(socket)
  return socket as NonNullable<S>
}
const pairOf = () => Socket.newPair(SEQPACKET).map(keep) as [Socket, Socket]
const file = (text: string) => {
  const path = join(temporaryDirectory(), 'file')
  writeFileSync(path, text)
  return openSync(path, 'r')
}

async function serving() {
  const path = join(temporaryDirectory(), 'socket')
  return { path, server: keep(await Socket.newServer(path, SEQPACKET)) }
}

async function connected() {
  const { path, server } = await serving()
  const client = keep(await Socket.newClient(path, SEQPACKET))
  return { path, server, client, peer: keep(await server.accept()) }
}

describe('test_ping_pong', () => {
  it('a client connects, and both sides hear each other', async () => {
    const { client, peer, path } = await connected()
    const ping = { ping: 'é 😀', list: [1, 2.5, null] }
    await client.send(ping)
    expect(await peer.recv()).toMatchObject({ payload: ping, address: null })
    await peer.send({ pong: true })
    expect(await client.recv()).toMatchObject({ payload: { pong: true }, address: path })
  })

  it('of a client in Python, and with a server in Python', async () => {
    const { path, server } = await serving()
    const theirs = pythonPeer()
    await theirs.request({ op: 'open', kind: 'SOCK_SEQPACKET', bind: '', connect: hex(path) })
    const peer = keep(await server.accept())
    await theirs.request({ op: 'send', value: { fd: 0 }, texts: ['from Python'] })
    const { payload, fds, address } = (await peer.recv()) as Received
    expect([payload, readContents(fds.get(0))]).toEqual([{ fd: 0 }, 'from Python'])
    // The original's clients have a name of the kernel's choice.
    expect(address).toMatch(/^\0[0-9a-f]{5}$/)
    await peer.send('to Python', { fds })
    fds.close()
    expect(await theirs.request({ op: 'recv' })).toMatchObject({
      value: 'to Python',
      texts: ['from Python'],
      cut: false,
    })
    await peer.close()
    expect(await theirs.request({ op: 'recv' })).toEqual({ end: true })

    const their = pythonPeer()
    const where = join(temporaryDirectory(), 'theirs')
    await their.request({ op: 'open', kind: 'SOCK_SEQPACKET', bind: hex(where), listen: true })
    const client = keep(await Socket.newClient(where, SEQPACKET))
    await their.request({ op: 'accept' })
    await client.send({ n: 1 })
    expect((await their.request({ op: 'recv' })).value).toEqual({ n: 1 })
    await their.request({ op: 'send', value: 'last' })
    await their.request({ op: 'close' })
    expect((await client.recv())?.payload).toBe('last')
    expect(await client.recv()).toBeNull()
  })
})

describe('test_scm_rights', () => {
  it('descriptors come whole, and the sender may close its own at once', async () => {
    const [a, b] = pairOf()
    const fds = ['one', 'two', 'three'].map(file)
    const sent = a.send([0, 1, 2], { fds })
    for (const fd of fds) closeSync(fd)
    await sent
    const message = (await b.recv()) as Received
    expect([...message.fds].map(readContents)).toEqual(['one', 'two', 'three'])
    message.fds.close()
  })
})

describe('test_listener_cleanup, test_contextlib', () => {
  it('the path of a server goes with it, after chdir and a rename above it', async () => {
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

  it('what was accepted lives on', async () => {
    const { server, client, peer } = await connected()
    await server.close()
    await client.send('still here')
    expect((await peer.recv())?.payload).toBe('still here')
  })
})

describe('test_accept_timeout', () => {
  it('accept gives up at its timeout, or its signal, and takes no connection then', async () => {
    const { server, path } = await serving()
    await expect(server.accept({ timeout: 5 })).rejects.toEqual(errorWithCode('TIMEOUT'))
    const gone = new AbortController()
    const waiting = server.accept({ signal: gone.signal })
    gone.abort()
    await expect(waiting).rejects.toHaveProperty('name', 'AbortError')
    await expect(server.accept({ signal: gone.signal })).rejects.toHaveProperty(
      'name',
      'AbortError',
    )
    const client = keep(await Socket.newClient(path, SEQPACKET))
    await client.send('for who comes next')
    const peer = keep(await server.accept({ timeout: 20_000 }))
    expect((await peer.recv())?.payload).toBe('for who comes next')
  })

  it('the calls get connections in their order, and one that was given up none', async () => {
    const { server, path } = await serving()
    const gone = new AbortController()
    const first = server.accept()
    const given = server.accept({ signal: gone.signal }).catch(error => error.name)
    const last = server.accept()
    gone.abort()
    for (const n of [1, 2]) await keep(await Socket.newClient(path, SEQPACKET)).send(n)
    expect(await given).toBe('AbortError')
    expect((await keep(await first).recv())?.payload).toBe(1)
    expect((await keep(await last).recv())?.payload).toBe(2)
  })

  it('accept gives null when the socket is closed while it waits', async () => {
    const { server } = await serving()
    const waiting = server.accept({ timeout: 20_000 })
    await server.close()
    expect(await waiting).toBeNull()
  })

  it('accept is not to be had beside a listener of connections', async () => {
    const { server } = await serving()
    server.listener?.on('connection', () => {})
    await expect(server.accept()).rejects.toEqual(errorWithCode('CONSUMER_CONFLICT'))
  })
})

describe('listen', () => {
  it('is true since newServer, with its backlog', async () => {
    const path = join(temporaryDirectory(), 'socket')
    const server = keep(await Socket.newServer(path, { ...SEQPACKET, backlog: 5 }))
    server.listen()
    server.listen(5)
    expect(() => server.listen(6)).toThrow(/already listens with backlog 5, not 6/)
    keep(await Socket.newClient(path, SEQPACKET))
    keep(await server.accept())
  })

  it('is only for seqpacket servers, and so is accept', async () => {
    const dgram = keep(await Socket.newServer(join(temporaryDirectory(), 'socket')))
    const [one] = pairOf()
    expect(() => dgram.listen()).toThrow(/a datagram socket does not accept connections/)
    expect(() => one.listen()).toThrow(/a connected socket does not accept connections/)
    await expect(dgram.accept()).rejects.toThrow(TypeError)
    await expect(one.accept()).rejects.toThrow(TypeError)
  })

  it('messages go through what is accepted, not through the server', async () => {
    const { server } = await serving()
    const refused = expect.objectContaining({ code: 'ENOTCONN' })
    await expect(server.send(1)).rejects.toEqual(refused)
    await expect(server.recv()).rejects.toEqual(refused)
    await expect(server.sendAndRecv(1)).rejects.toEqual(refused)
    expect(() => server.channel).toThrow(TypeError)
    expect([server.type, server.listener?.address]).toEqual(['seqpacket', expect.any(String)])
  })
})

describe('test_socket_pair, test_from_fd, test_send_and_recv', () => {
  it('a pair hears each other', async () => {
    const [a, b] = pairOf()
    expect([a.type, a.channel.type, a.listener]).toEqual(['seqpacket', 'seqpacket', undefined])
    await a.send({ from: 'a' })
    await b.send({ from: 'b' })
    expect((await a.recv())?.payload).toEqual({ from: 'b' })
    expect(await b.recv()).toMatchObject({ payload: { from: 'a' }, address: null })
  })

  it('a socket is made from a descriptor of either type, and owns it', async () => {
    for (const type of ['seqpacket', 'dgram'] as const) {
      const [a, b] = pair({ protocol: 'jsoncomm', type })
      const fd = b.detach()
      const socket = keep(Socket.newFromFd(fd))
      expect([socket.type, socket.fileno()]).toEqual([type, fd])
      a.send('hello')
      expect((await socket.recv())?.payload).toBe('hello')
      await socket.close()
      expect(isOpen(fd)).toBe(false)
      await a.close()
    }
  })

  it('or leaves it to the caller, and owns a duplicate', async () => {
    const [a, b] = pair({ protocol: 'jsoncomm', type: 'seqpacket' })
    const fd = b.detach()
    const socket = keep(Socket.newFromFd(fd, { closeFd: false }))
    expect(socket.fileno()).not.toBe(fd)
    await socket.send('through the duplicate')
    expect((await a.receive())?.value).toBe('through the duplicate')
    await socket.close()
    expect(isOpen(fd)).toBe(true)
    closeSync(fd)
    await a.close()
  })

  it('a set may keep what a socket gets a duplicate of', async () => {
    const [a, b] = pair({ protocol: 'jsoncomm', type: 'seqpacket' })
    const set = FdSet.from([b.detach()])
    expect(() => Socket.newFromFd(set.get(0))).toThrow(TypeError)
    const socket = keep(Socket.newFromFd(set.get(0), { closeFd: false }))
    set.close()
    a.send(1)
    expect((await socket.recv())?.payload).toBe(1)
    await a.close()
  })

  it('a listening socket accepts', async () => {
    const { server, path } = await serving()
    const again = keep(Socket.newFromFd(server.fileno(), { closeFd: false }))
    again.listen()
    expect(() => again.listen(5)).toThrow(/an unknown backlog/)
    const client = keep(await Socket.newClient(path, SEQPACKET))
    await client.send('whoever listens')
    const peer = keep(await again.accept())
    expect((await peer.recv())?.payload).toBe('whoever listens')
  })

  it("what is refused is still the caller's, and no duplicate is left", async () => {
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

  it('several questions under way get their answers in order', async () => {
    const { client, peer } = await connected()
    const answers = [1, 2, 3].map(n => client.sendAndRecv(n, { timeout: 20_000 }))
    for (let i = 0; i < 3; i++) await peer.send((await peer.recv())?.payload * 10)
    expect((await Promise.all(answers)).map(answer => answer.payload)).toEqual([10, 20, 30])
  })
})

describe("the peer's end", () => {
  it('is null behind the last message, for ever, and EPIPE for who sends', async () => {
    const [a, b] = pairOf()
    await a.send('last')
    await a.close()
    expect((await b.recv())?.payload).toBe('last')
    expect([await b.recv(), await b.recv()]).toEqual([null, null])
    await expect(b.send('nobody')).rejects.toEqual(errorWithCode('EPIPE'))
    await b.close()
    await expect(b.send('closed')).rejects.toEqual(errorWithCode('CLOSED'))
    expect(await b.recv()).toBeNull()
  })

  it('is none where a record is empty: that is malformed, and the next one comes', async () => {
    const { server, path } = await serving()
    const raw = await connect(path, RAW)
    const peer = keep(await server.accept())
    for (const text of ['1', '', 'no json', '2']) raw.send(text)
    expect((await peer.recv())?.payload).toBe(1)
    await expect(peer.recv()).rejects.toEqual(errorWithCode('ERR_FDWIRE_EMPTY_MESSAGE'))
    await expect(peer.recv()).rejects.toEqual(errorWithCode('NOT_JSON'))
    expect((await peer.recv())?.payload).toBe(2)
    await raw.close()
    expect(await peer.recv()).toBeNull()
  })
})

describe('the options', () => {
  it('are those of the functions underneath', async () => {
    const path = join(temporaryDirectory(), 'socket')
    const server = keep(await Socket.newServer(path, { ...SEQPACKET, mode: 0o666, maxMessage: 10 }))
    const client = keep(await Socket.newClient(path, { ...SEQPACKET, timeout: 20_000 }))
    const peer = keep(await server.accept())
    await client.send('x'.repeat(20))
    await expect(peer.recv()).rejects.toEqual(errorWithCode('MESSAGE_TOO_LARGE'))
  })

  it('and what a Socket decides itself is none', async () => {
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

  it('sockets of the two types do not meet', async () => {
    const { path } = await serving()
    await expect(Socket.newClient(path)).rejects.toEqual(errorWithCode('EPROTOTYPE'))
    const dgram = join(temporaryDirectory(), 'dgram')
    keep(await Socket.newServer(dgram))
    await expect(Socket.newClient(dgram, SEQPACKET)).rejects.toEqual(errorWithCode('EPROTOTYPE'))
  })
})

it('an iterator of the listener and accept share the connections, in the order they asked', async () => {
  const { server, path } = await serving()
  const next = server.listener?.[Symbol.asyncIterator]().next()
  const second = server.accept()
  for (const n of [1, 2]) await keep(await Socket.newClient(path, SEQPACKET)).send(n)
  const channel = (await next)?.value
  expect((await channel?.receive())?.value).toBe(1)
  await channel?.close()
  expect((await keep(await second).recv())?.payload).toBe(2)
})
