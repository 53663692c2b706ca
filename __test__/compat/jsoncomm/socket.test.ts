/** The original's own tests (osbuild's test_util_jsoncomm.py), and what its vocabulary promises. */
import {
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  renameSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { connect, FdSet as MainFdSet, pair } from 'fdwire'
import { FdSet, type Received, Socket } from 'fdwire/jsoncomm'
import { afterEach, describe, expect, it } from 'vitest'
import {
  cleanUpAfterEach,
  pythonPeer,
  readContents,
  temporaryDirectory,
} from '../../support/processes.js'

cleanUpAfterEach()

const RAW = { protocol: 'raw', type: 'dgram' } as const
const open: Socket[] = []
const home = process.cwd()
afterEach(async () => {
  process.chdir(home)
  await Promise.all(open.splice(0).map(socket => socket.close()))
})
const keep = (socket: Socket) => {
  open.push(socket)
  return socket
}
const isOpen = (fd: number) => {
  try {
    fstatSync(fd)
    return true
  } catch {
    return false
  }
}
const file = (dir: string, text: string) => {
  writeFileSync(join(dir, text), text)
  return openSync(join(dir, text), 'r')
}

async function serverAndClient() {
  const path = join(temporaryDirectory(), 'socket')
  const server = keep(await Socket.newServer(path))
  return { path, server, client: keep(await Socket.newClient(path)) }
}

describe('test_fdset', () => {
  it('is the same class as in fdwire', () => {
    expect(FdSet).toBe(MainFdSet)
  })

  it('owns its descriptors, and steal gives one away', () => {
    const dir = temporaryDirectory()
    const fds = [file(dir, 'a'), file(dir, 'b'), file(dir, 'c')]
    const set = FdSet.fromList(fds)
    expect([set.length, set.get(0), set.get(2)]).toEqual([3, fds[0], fds[2]])
    expect(set.steal(1)).toBe(fds[1])
    expect(() => set.get(1)).toThrow(expect.objectContaining({ code: 'ERR_FDWIRE_FD_GONE' }))
    expect(() => set.steal(1)).toThrow(expect.objectContaining({ code: 'ERR_FDWIRE_FD_GONE' }))
    // What was stolen changes no index.
    expect([set.length, set.get(2)]).toEqual([3, fds[2]])
    set.close()
    set.close()
    expect(fds.map(isOpen)).toEqual([false, true, false])
    closeSync(fds[1] as number)
  })
})

describe('test_ping_pong', () => {
  it('a client asks, the server answers to where that came from', async () => {
    const { server, client } = await serverAndClient()
    const ping = { ping: 'é 😀', list: [1, 2.5, null, { deep: [] }] }
    await client.send(ping)
    const { payload, address, fds } = (await server.recv()) as Received
    expect([payload, fds.length]).toEqual([ping, 0])
    expect(address).toBe(client.channel.localAddress)
    await server.send({ pong: true }, { destination: address as string })
    const pong = (await client.recv()) as Received
    expect(pong.payload).toEqual({ pong: true })
    expect(pong.address).toBe(server.channel.localAddress)
  })

  it('a client without a path sends to a destination', async () => {
    const { server, path } = await serverAndClient()
    const client = keep(await Socket.newClient())
    await client.send('ping', { destination: path })
    const { address } = (await server.recv()) as Received
    expect(address).toMatch(/^\0[0-9a-f]{5}$/)
    await server.send('pong', { destination: address as string })
    expect(((await client.recv()) as Received).payload).toBe('pong')
    await expect(client.send('to nobody')).rejects.toEqual(
      expect.objectContaining({ code: 'ENOTCONN' }),
    )
  })

  it('a client without a name is told as null, and can be sent nothing', async () => {
    const { server, path } = await serverAndClient()
    const peer = pythonPeer()
    await peer.request({ op: 'open', connect: Buffer.from(path).toString('hex') })
    await peer.request({ op: 'send', value: 1 })
    const { address } = (await server.recv()) as Received
    expect(address).toBe(null)
    await expect(server.send(2, { destination: address as never })).rejects.toEqual(
      expect.objectContaining({ code: 'ERR_FDWIRE_BAD_ADDRESS' }),
    )
  })
})

describe('test_scm_rights', () => {
  it('descriptors come whole, and the sender may close its own at once', async () => {
    const { server, client } = await serverAndClient()
    const dir = temporaryDirectory()
    const fds = ['one', 'two', 'three'].map(text => file(dir, text))
    const sent = client.send({ fds: [0, 1, 2] }, { fds })
    for (const fd of fds) closeSync(fd)
    await sent
    const message = (await server.recv()) as Received
    const kept = message.fds.steal(1)
    expect([0, 2].map(i => readContents(message.fds.get(i)))).toEqual(['one', 'three'])
    message.fds.close()
    expect(readContents(kept)).toBe('two')
    closeSync(kept)
  })

  it('a received set can be sent on', async () => {
    const { server, client, path } = await serverAndClient()
    const fd = file(temporaryDirectory(), 'there and back')
    const reply = client.sendAndRecv('ask', { fds: [fd] })
    closeSync(fd)
    const { fds, address } = (await server.recv()) as Received
    await server.send('answer', { fds, destination: address as string })
    fds.close()
    const answer = await reply
    expect([answer.payload, answer.address]).toEqual(['answer', path])
    expect(readContents(answer.fds.get(0))).toBe('there and back')
    answer.fds.close()
  })
})

describe('test_listener_cleanup', () => {
  it('the path of a server goes with it, after chdir and a rename above it', async () => {
    const dir = temporaryDirectory()
    mkdirSync(join(dir, 'a'))
    process.chdir(join(dir, 'a'))
    const server = await Socket.newServer('socket')
    expect(existsSync(join(dir, 'a/socket'))).toBe(true)
    process.chdir('/')
    renameSync(join(dir, 'a'), join(dir, 'b'))
    await server.close()
    expect(existsSync(join(dir, 'b/socket'))).toBe(false)
  })

  it('a path can be used again', async () => {
    const path = join(temporaryDirectory(), 'socket')
    for (let i = 0; i < 3; i++) await (await Socket.newServer(path)).close()
    expect(existsSync(path)).toBe(false)
  })
})

describe('test_contextlib', () => {
  it('a socket is closed by its disposal, and once more does nothing', async () => {
    const path = join(temporaryDirectory(), 'socket')
    const server = await Socket.newServer(path)
    const fd = server.fileno()
    expect(isOpen(fd)).toBe(true)
    await server[Symbol.asyncDispose]()
    await server.close()
    expect([server.fileno(), existsSync(path), isOpen(fd)]).toEqual([-1, false, false])
    const closed = expect.objectContaining({ code: 'ERR_FDWIRE_CLOSED' })
    await expect(server.send(1)).rejects.toEqual(closed)
    await expect(server.recv()).rejects.toEqual(closed)
  })

  it('recv gives null when the socket is closed while it waits', async () => {
    const [a, b] = Socket.newPair().map(keep) as [Socket, Socket]
    const waiting = a.recv()
    await a.close()
    expect(await waiting).toBe(null)
    await b.close()
  })
})

describe('test_socket_pair, test_from_fd, test_send_and_recv', () => {
  it('a pair hears each other', async () => {
    const [a, b] = Socket.newPair().map(keep) as [Socket, Socket]
    await a.send({ from: 'a' })
    await b.send({ from: 'b' })
    expect((await a.recv())?.payload).toEqual({ from: 'b' })
    expect(await b.recv()).toMatchObject({ payload: { from: 'a' }, address: null })
  })

  it('a socket is made from a descriptor, and owns it', async () => {
    const [a, b] = pair({ protocol: 'jsoncomm' })
    const fd = b.detach()
    const socket = Socket.newFromFd(fd)
    expect(socket.fileno()).toBe(fd)
    a.send('hello')
    expect((await socket.recv())?.payload).toBe('hello')
    await socket.close()
    expect(isOpen(fd)).toBe(false)
    await a.close()
  })

  it("a descriptor that is none of a datagram socket is still the caller's", () => {
    const fd = openSync('/dev/null', 'r')
    expect(() => Socket.newFromFd(fd)).toThrow(
      expect.objectContaining({ code: 'ERR_FDWIRE_NOT_A_SOCKET' }),
    )
    closeSync(fd)
  })

  it('several questions under way get their answers in order', async () => {
    const { server, client } = await serverAndClient()
    const answers = [1, 2, 3].map(n => client.sendAndRecv(n, { timeout: 5_000 }))
    for (let i = 0; i < 3; i++) {
      const { payload, address } = (await server.recv()) as Received
      await server.send(payload * 10, { destination: address as string })
    }
    expect((await Promise.all(answers)).map(answer => answer.payload)).toEqual([10, 20, 30])
  })

  it('a question is given up by timeout or signal', async () => {
    const [a, b] = Socket.newPair().map(keep) as [Socket, Socket]
    await expect(a.sendAndRecv(1, { timeout: 5 })).rejects.toEqual(
      expect.objectContaining({ code: 'ERR_FDWIRE_TIMEOUT' }),
    )
    const signal = AbortSignal.abort()
    await expect(a.sendAndRecv(2, { signal })).rejects.toHaveProperty('name', 'AbortError')
    await expect(b.recv({ signal })).rejects.toHaveProperty('name', 'AbortError')
    expect((await b.recv())?.payload).toBe(1)
  })
})

describe('a malformed message', () => {
  it('rejects the recv whose turn it is, and the next message goes on', async () => {
    const { server, path } = await serverAndClient()
    const raw = await connect(path, RAW)
    for (const text of ['1', 'no json', '2', '', '3']) raw.send(text)
    expect((await server.recv())?.payload).toBe(1)
    await expect(server.recv()).rejects.toEqual(
      expect.objectContaining({ code: 'ERR_FDWIRE_NOT_JSON', sample: Buffer.from('no json') }),
    )
    expect((await server.recv())?.payload).toBe(2)
    await expect(server.recv()).rejects.toHaveProperty('code', 'ERR_FDWIRE_EMPTY_MESSAGE')
    expect((await server.recv())?.payload).toBe(3)
    await raw.close()
  })

  it('rejects in order when several wait', async () => {
    const { server, path } = await serverAndClient()
    const raw = await connect(path, RAW)
    const waiting = Array.from({ length: 3 }, () => server.recv())
    for (const text of ['1', '{', '2']) raw.send(text)
    const results = await Promise.allSettled(waiting)
    expect(results.map(result => result.status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    await raw.close()
  })
})
