import { spawnSync } from 'node:child_process'
import { closeSync, constants, fstatSync, openSync } from 'node:fs'
import { type AddressInfo, createServer, connect as dial, type Server, Socket } from 'node:net'
import { join } from 'node:path'
import { adopt, bind, type Channel, connect, FdSet, pair } from 'fdwire'
import { afterEach, describe, expect, it } from 'vitest'
import {
  cleanUpAfterEach,
  flagsOf,
  nodePeer,
  O_NONBLOCK,
  pythonPeer,
  temporaryDirectory,
} from '../support/processes.js'

cleanUpAfterEach()

const JSONCOMM = { protocol: 'jsoncomm' } as const
const openChannels: Channel[] = []
const cleanups: (() => unknown)[] = []
afterEach(async () => {
  await Promise.all(openChannels.splice(0).map(channel => channel.close()))
  for (const close of cleanups.splice(0).reverse()) await close()
})

const closeAfterTest = (channel: Channel) => {
  openChannels.push(channel)
  return channel
}
const errorWith = (code: string, message: RegExp) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) })

const fdOf = (handle: Socket | Server) =>
  (handle as never as { _handle: { fd: number } })._handle.fd

async function startServer(path?: string): Promise<Server> {
  const server = createServer(accepted => accepted.on('error', () => {}).resume())
  const where = path === undefined ? { host: '127.0.0.1', port: 0 } : { path }
  await new Promise<void>(resolve => server.listen(where, resolve))
  cleanups.push(() => new Promise(resolve => server.close(resolve)))
  return server
}

async function connectTo(server: Server): Promise<Socket> {
  const address = server.address() as AddressInfo | string
  const socket = typeof address === 'string' ? dial(address) : dial(address.port, address.address)
  await new Promise<unknown>((resolve, reject) => {
    socket.once('connect', () => resolve(undefined)).once('error', reject)
  })
  cleanups.push(() => new Promise<unknown>(done => socket.once('close', done).destroy()))
  return socket
}

function openFile(path: string, flags = constants.O_RDONLY): number {
  const fd = openSync(path, flags)
  cleanups.push(() => closeSync(fd))
  return fd
}

describe('adopt of an invalid descriptor', () => {
  it.each([-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31])(
    'throws a RangeError for %d',
    fd => {
      expect(() => adopt(fd, JSONCOMM)).toThrow(RangeError)
      expect(() => adopt(fd, JSONCOMM)).toThrow(`from 0 to 2147483647, not ${fd}`)
    },
  )

  it('throws a RangeError for a number that is a descriptor modulo 2 ** 32, and adopts nothing', () => {
    const [a, b] = pair(JSONCOMM)
    const fd = closeAfterTest(a).detach()
    closeAfterTest(b)
    expect(() => adopt(2 ** 32 + fd, JSONCOMM)).toThrow(RangeError)
    closeAfterTest(adopt(fd, JSONCOMM))
  })

  it.each(['3', 3n, null, undefined, {}, { fd: 3 }, true])('throws a TypeError for %o', fd => {
    expect(() => adopt(fd as never, JSONCOMM)).toThrow(TypeError)
  })

  it('throws a TypeError with the reason for a net.Socket', () => {
    expect(() => adopt(new Socket() as never, JSONCOMM)).toThrow(TypeError)
    expect(() => adopt(new Socket() as never, JSONCOMM)).toThrow(/net\.Socket: that is a stream/)
  })

  it('throws a TypeError for a descriptor owned by a channel or FdSet, and says how to release it', () => {
    const [a, b] = pair(JSONCOMM).map(closeAfterTest) as [Channel, Channel]
    expect(() => adopt(a.fd, JSONCOMM)).toThrow(TypeError)
    expect(() => adopt(a.fd, JSONCOMM)).toThrow(/belongs to a channel: detach\(\)/)
    const set = FdSet.from([b.detach()])
    expect(() => adopt(set.get(0), JSONCOMM)).toThrow(/belongs to an FdSet: take\(i\)/)
    expect(() => FdSet.from([set.get(0)])).toThrow(expect.objectContaining({ code: 'EBUSY' }))
    closeAfterTest(adopt(set.take(0), JSONCOMM)).send('both halves work')
    set.close()
    expect(a.closed).toBe(false)
  })

  it('throws EBADF with the number for a closed descriptor', () => {
    const fd = openSync('/dev/null', 'r')
    closeSync(fd)
    expect(() => adopt(fd, JSONCOMM)).toThrow(
      errorWith('EBADF', new RegExp(`descriptor ${fd} is not open$`)),
    )
  })
})

describe('adopt of a descriptor other than a Unix datagram socket', () => {
  const NOT = 'ERR_FDWIRE_NOT_A_SOCKET'
  const WRONG = 'ERR_FDWIRE_WRONG_SOCKET'
  const things: [string, string, () => Promise<number> | number][] = [
    ['file', NOT, () => openFile('/etc/passwd')],
    ['directory', NOT, () => openFile('/')],
    ['chardev', NOT, () => openFile('/dev/null')],
    ['tty', NOT, () => openFile('/dev/ptmx', constants.O_RDWR | constants.O_NOCTTY)],
    ['path', NOT, () => openFile('/', 0o10000000)],
    ['pipe', NOT, fifo],
    ['tcp-listener', WRONG, async () => fdOf(await startServer())],
    ['tcp-socket', WRONG, async () => fdOf(await connectTo(await startServer()))],
    ['unix-listener', WRONG, async () => fdOf(await startServer(join(temporaryDirectory(), 's')))],
    [
      'unix-stream',
      WRONG,
      async () => fdOf(await connectTo(await startServer(`\0${temporaryDirectory()}`))),
    ],
  ]
  it.each(things)(
    'names its kind in the error and leaves it unchanged: %s',
    async (kind, code, make) => {
      const fd = await make()
      const [flags, { ino }] = [flagsOf(fd), fstatSync(fd)]
      expect(() => adopt(fd, JSONCOMM)).toThrow(
        errorWith(code, new RegExp(`^Descriptor ${fd} .*${kind}.*needs a Unix datagram socket`)),
      )
      expect([flagsOf(fd), fstatSync(fd).ino]).toEqual([flags, ino])
    },
  )

  it('names its kind in the error and leaves it open: unix-seqpacket', async () => {
    const server = closeAfterTest(await bind(null, JSONCOMM))
    const peer = pythonPeer()
    const name = Buffer.from(server.localAddress as string).toString('hex')
    await peer.request({ op: 'open', connect: name })
    await peer.request({ op: 'give', kind: 'SOCK_SEQPACKET' })
    const fd = (await server.receive())?.fds.take(0) as number
    cleanups.push(() => closeSync(fd))
    expect(() => adopt(fd, JSONCOMM)).toThrow(
      errorWith(WRONG, /is a unix-seqpacket: jsoncomm over/),
    )
    expect(fstatSync(fd).isSocket()).toBe(true)
  })

  it('suggests over() for a pipe', () => {
    expect(() => adopt(fifo(), JSONCOMM)).toThrow(/over\(\)/)
  })

  function fifo(): number {
    const path = join(temporaryDirectory(), 'fifo')
    expect(spawnSync('mkfifo', [path]).status).toBe(0)
    return openFile(path, constants.O_RDWR)
  }
})

describe('an adopted socket', () => {
  it('sends and receives as half of a pair', async () => {
    const [a, b] = pair(JSONCOMM)
    const [c, d] = [
      closeAfterTest(adopt(a.detach(), JSONCOMM)),
      closeAfterTest(adopt(b.detach(), JSONCOMM)),
    ]
    expect([a.closed, a.fd, c.remoteAddress]).toEqual([true, -1, null])
    const reply = c.request('request')
    expect((await d.receive())?.value).toBe('request')
    d.send('reply')
    expect((await reply).value).toBe('reply')
  })

  it('keeps its bound and connected addresses', async () => {
    const name = `\0${temporaryDirectory()}`
    const server = closeAfterTest(adopt((await bind(name, JSONCOMM)).detach(), JSONCOMM))
    const client = closeAfterTest(adopt((await connect(name, JSONCOMM)).detach(), JSONCOMM))
    expect([server.localAddress, client.remoteAddress]).toEqual([name, name])
    const reply = client.request('request')
    server.send('reply', { to: (await server.receive())?.from as string })
    expect((await reply).value).toBe('reply')
  })

  it('delivers what was sent before it was adopted', async () => {
    const [a, b] = pair(JSONCOMM)
    closeAfterTest(a).sendAll([1, 2, 3])
    const adopted = closeAfterTest(adopt(b.detach(), JSONCOMM))
    const values = []
    while (values.length < 3) values.push((await adopted.receive())?.value)
    expect(values).toEqual([1, 2, 3])
  })

  it('is closed with its channel', async () => {
    const [a, b] = pair(JSONCOMM)
    closeAfterTest(a)
    const fd = b.detach()
    await adopt(fd, JSONCOMM).close()
    expect(() => fstatSync(fd)).toThrow(expect.objectContaining({ code: 'EBADF' }))
  })

  it('remains open if adopt rejects an option', () => {
    const [a, b] = pair(JSONCOMM)
    closeAfterTest(a)
    const fd = b.detach()
    expect(() => adopt(fd, { protocol: 'nonsense' as 'jsoncomm' })).toThrow(TypeError)
    closeAfterTest(adopt(fd, JSONCOMM))
  })

  it('works in a child process that inherits it as descriptor 3', async () => {
    const [ours, theirs] = pair(JSONCOMM)
    closeAfterTest(ours)
    const fd = theirs.detach()
    const child = nodePeer({}, { stdio: ['pipe', 'pipe', 'pipe', fd] })
    closeSync(fd)
    expect(await child.request({ call: 'adopt', fd: 3 })).toEqual({})
    ours.send({ for: 'the child' })
    const got = await child.request({ call: 'receive' })
    expect(got.value).toEqual({ for: 'the child' })
    await child.request({ call: 'send', value: 'from the child' })
    expect((await ours.receive())?.value).toBe('from the child')
    await child.stop()
    expect(() => ours.send('to a closed peer')).toThrow(
      expect.objectContaining({ code: 'ECONNREFUSED' }),
    )
  })
})

describe('O_NONBLOCK', () => {
  it.each([false, true])(
    'stays %s on an adopted socket, which other processes share',
    async nonblocking => {
      const server = closeAfterTest(await bind(null, JSONCOMM))
      const peer = pythonPeer()
      const name = Buffer.from(server.localAddress as string).toString('hex')
      await peer.request({ op: 'open', connect: name })
      await peer.request({ op: 'give', kind: 'SOCK_DGRAM', nonblocking })
      const fd = (await server.receive())?.fds.take(0) as number
      const before = flagsOf(fd)
      expect((before & O_NONBLOCK) !== 0).toBe(nonblocking)
      const channel = adopt(fd, JSONCOMM)
      const waiting = channel.receive()
      channel.send('to the peer')
      expect(flagsOf(fd)).toBe(before)
      expect(await peer.request({ op: 'other', value: 'from the peer' })).toEqual({
        value: 'to the peer',
      })
      expect((await waiting)?.value).toBe('from the peer')
      expect(flagsOf(fd)).toBe(before)
      expect(channel.detach()).toBe(fd)
      expect(flagsOf(fd)).toBe(before)
      await adopt(fd, JSONCOMM).close()
      expect(await peer.request({ op: 'blocking' })).toEqual({ nonblocking })
    },
  )

  it('is not set on a bound, connected or paired socket', async () => {
    const path = join(temporaryDirectory(), 's')
    const channels = [await bind(path, JSONCOMM), await connect(path, JSONCOMM), ...pair(JSONCOMM)]
    for (const channel of channels) {
      closeAfterTest(channel).on('message', () => {})
      expect(flagsOf(channel.fd) & O_NONBLOCK).toBe(0)
      expect(flagsOf(channel.fd) & constants.O_RDWR).not.toBe(0)
    }
  })
})
