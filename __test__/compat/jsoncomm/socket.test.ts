/** Socket over SOCK_DGRAM: the original's own tests (osbuild's test_util_jsoncomm.py), and more. */
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
/** Registers a socket to be closed after the test, and returns it. */
const track = (socket: Socket) => {
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
/** Creates and opens a file with this name and content. */
const openFile = (dir: string, text: string) => {
  writeFileSync(join(dir, text), text)
  return openSync(join(dir, text), 'r')
}

async function serverAndClient() {
  const path = join(temporaryDirectory(), 'socket')
  const server = track(await Socket.newServer(path))
  return { path, server, client: track(await Socket.newClient(path)) }
}

describe('FdSet of fdwire/jsoncomm (test_fdset)', () => {
  it('is the FdSet of fdwire', () => {
    expect(FdSet).toBe(MainFdSet)
  })

  it('owns its descriptors until steal takes one', () => {
    const dir = temporaryDirectory()
    const fds = [openFile(dir, 'a'), openFile(dir, 'b'), openFile(dir, 'c')]
    const set = FdSet.fromList(fds)
    expect([set.length, set.get(0), set.get(2)]).toEqual([3, fds[0], fds[2]])
    expect(set.steal(1)).toBe(fds[1])
    expect(() => set.get(1)).toThrow(expect.objectContaining({ code: 'ERR_FDWIRE_FD_GONE' }))
    expect(() => set.steal(1)).toThrow(expect.objectContaining({ code: 'ERR_FDWIRE_FD_GONE' }))
    // steal() changes neither the length nor the indices.
    expect([set.length, set.get(2)]).toEqual([3, fds[2]])
    set.close()
    set.close()
    expect(fds.map(isOpen)).toEqual([false, true, false])
    closeSync(fds[1] as number)
  })
})

describe('a datagram Socket (test_ping_pong)', () => {
  it('replies to the address of the sender', async () => {
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

  it('sends without a path to an explicit destination', async () => {
    const { server, path } = await serverAndClient()
    const client = track(await Socket.newClient())
    await client.send('ping', { destination: path })
    const { address } = (await server.recv()) as Received
    expect(address).toMatch(/^\0[0-9a-f]{5}$/)
    await server.send('pong', { destination: address as string })
    expect(((await client.recv()) as Received).payload).toBe('pong')
    await expect(client.send('no destination')).rejects.toEqual(
      expect.objectContaining({ code: 'ENOTCONN' }),
    )
  })

  it('has a null address for an unnamed sender and cannot reply to it', async () => {
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

describe('a datagram Socket with descriptors (test_scm_rights)', () => {
  it('sends duplicates, so the sender may close its descriptors at once', async () => {
    const { server, client } = await serverAndClient()
    const dir = temporaryDirectory()
    const fds = ['one', 'two', 'three'].map(text => openFile(dir, text))
    const sent = client.send({ fds: [0, 1, 2] }, { fds })
    for (const fd of fds) closeSync(fd)
    await sent
    const message = (await server.recv()) as Received
    const stolen = message.fds.steal(1)
    expect([0, 2].map(i => readContents(message.fds.get(i)))).toEqual(['one', 'three'])
    message.fds.close()
    expect(readContents(stolen)).toBe('two')
    closeSync(stolen)
  })

  it('sends a received FdSet', async () => {
    const { server, client, path } = await serverAndClient()
    const fd = openFile(temporaryDirectory(), 'content')
    const reply = client.sendAndRecv('request', { fds: [fd] })
    closeSync(fd)
    const { fds, address } = (await server.recv()) as Received
    await server.send('reply', { fds, destination: address as string })
    fds.close()
    const received = await reply
    expect([received.payload, received.address]).toEqual(['reply', path])
    expect(readContents(received.fds.get(0))).toBe('content')
    received.fds.close()
  })
})

describe('the path of a datagram server (test_listener_cleanup)', () => {
  it('is unlinked by close(), also after chdir and a rename of its directory', async () => {
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

  it('can be bound again after close()', async () => {
    const path = join(temporaryDirectory(), 'socket')
    for (let i = 0; i < 3; i++) await (await Socket.newServer(path)).close()
    expect(existsSync(path)).toBe(false)
  })
})

describe('closing a Socket (test_contextlib)', () => {
  it('works by asyncDispose, and has no effect the second time', async () => {
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

  it('resolves a pending recv to null', async () => {
    const [a, b] = Socket.newPair().map(track) as [Socket, Socket]
    const waiting = a.recv()
    await a.close()
    expect(await waiting).toBe(null)
    await b.close()
  })
})

describe('Socket.newPair (test_socket_pair)', () => {
  it('returns two connected sockets', async () => {
    const [a, b] = Socket.newPair().map(track) as [Socket, Socket]
    await a.send({ from: 'a' })
    await b.send({ from: 'b' })
    expect((await a.recv())?.payload).toEqual({ from: 'b' })
    expect(await b.recv()).toMatchObject({ payload: { from: 'a' }, address: null })
  })
})

describe('Socket.newFromFd (test_from_fd)', () => {
  it('takes ownership of the descriptor', async () => {
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

  it('leaves a descriptor that is not a socket open', () => {
    const fd = openSync('/dev/null', 'r')
    expect(() => Socket.newFromFd(fd)).toThrow(
      expect.objectContaining({ code: 'ERR_FDWIRE_NOT_A_SOCKET' }),
    )
    closeSync(fd)
  })
})

describe('Socket.sendAndRecv (test_send_and_recv)', () => {
  it('matches replies to concurrent requests in order', async () => {
    const { server, client } = await serverAndClient()
    const replies = [1, 2, 3].map(n => client.sendAndRecv(n, { timeout: 5_000 }))
    for (let i = 0; i < 3; i++) {
      const { payload, address } = (await server.recv()) as Received
      await server.send(payload * 10, { destination: address as string })
    }
    expect((await Promise.all(replies)).map(reply => reply.payload)).toEqual([10, 20, 30])
  })

  it('is aborted by a timeout or signal', async () => {
    const [a, b] = Socket.newPair().map(track) as [Socket, Socket]
    await expect(a.sendAndRecv(1, { timeout: 5 })).rejects.toEqual(
      expect.objectContaining({ code: 'ERR_FDWIRE_TIMEOUT' }),
    )
    const signal = AbortSignal.abort()
    await expect(a.sendAndRecv(2, { signal })).rejects.toHaveProperty('name', 'AbortError')
    await expect(b.recv({ signal })).rejects.toHaveProperty('name', 'AbortError')
    expect((await b.recv())?.payload).toBe(1)
  })
})

describe('a malformed datagram', () => {
  it('rejects the oldest recv, and the next recv gets the next message', async () => {
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

  it('rejects only its own recv when several are pending', async () => {
    const { server, path } = await serverAndClient()
    const raw = await connect(path, RAW)
    const waiting = Array.from({ length: 3 }, () => server.recv())
    for (const text of ['1', '{', '2']) raw.send(text)
    const results = await Promise.allSettled(waiting)
    expect(results.map(result => result.status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    await raw.close()
  })
})
