import { spawnSync } from 'node:child_process'
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import { type AddressInfo, createServer, connect as dial, type Server, Socket } from 'node:net'
import { join } from 'node:path'
import { adopt, bind, type Channel, connect, FdSet, pair } from 'fdwire'
import { afterEach, describe, expect, it } from 'vitest'
import {
  cleanUpAfterEach,
  nodePeer,
  O_NONBLOCK,
  pythonPeer,
  temporaryDirectory,
} from '../support/processes.js'

cleanUpAfterEach()

const JSONCOMM = { protocol: 'jsoncomm' } as const
const open: Channel[] = []
const later: (() => unknown)[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map(channel => channel.close()))
  for (const close of later.splice(0).reverse()) await close()
})

const keep = (channel: Channel) => {
  open.push(channel)
  return channel
}
const failing = (code: string, message: RegExp) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) })

/** The open file description's flags, as the kernel has them. */
function flagsOf(fd: number): number {
  const info = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')
  return Number.parseInt(/flags:\s*(\d+)/.exec(info)?.[1] as string, 8)
}

const fdOf = (handle: Socket | Server) =>
  (handle as never as { _handle: { fd: number } })._handle.fd

async function listening(path?: string): Promise<Server> {
  const server = createServer(accepted => accepted.on('error', () => {}).resume())
  const where = path === undefined ? { host: '127.0.0.1', port: 0 } : { path }
  await new Promise<void>(resolve => server.listen(where, resolve))
  later.push(() => new Promise(resolve => server.close(resolve)))
  return server
}

async function connectedTo(server: Server): Promise<Socket> {
  const address = server.address() as AddressInfo | string
  const socket = typeof address === 'string' ? dial(address) : dial(address.port, address.address)
  await new Promise<unknown>((resolve, reject) => {
    socket.once('connect', () => resolve(undefined)).once('error', reject)
  })
  later.push(() => new Promise<unknown>(done => socket.once('close', done).destroy()))
  return socket
}

function file(path: string, flags = constants.O_RDONLY): number {
  const fd = openSync(path, flags)
  later.push(() => closeSync(fd))
  return fd
}

describe('a number that is none of a descriptor is refused', () => {
  it.each([-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31])('%d: RangeError', fd => {
    expect(() => adopt(fd, JSONCOMM)).toThrow(RangeError)
    expect(() => adopt(fd, JSONCOMM)).toThrow(`from 0 to 2147483647, not ${fd}`)
  })

  it('one that is a descriptor after 32 bits were cut off: RangeError, and nothing is taken', () => {
    const [a, b] = pair(JSONCOMM)
    const fd = keep(a).detach()
    keep(b)
    expect(() => adopt(2 ** 32 + fd, JSONCOMM)).toThrow(RangeError)
    keep(adopt(fd, JSONCOMM))
  })

  it.each(['3', 3n, null, undefined, {}, { fd: 3 }, true])('%o: TypeError', fd => {
    expect(() => adopt(fd as never, JSONCOMM)).toThrow(TypeError)
  })

  it('a net.Socket: TypeError that says why', () => {
    expect(() => adopt(new Socket() as never, JSONCOMM)).toThrow(TypeError)
    expect(() => adopt(new Socket() as never, JSONCOMM)).toThrow(/net\.Socket: that is a stream/)
  })

  it('one that a channel or an FdSet owns: TypeError that says how to get it', () => {
    const [a, b] = pair(JSONCOMM).map(keep) as [Channel, Channel]
    expect(() => adopt(a.fd, JSONCOMM)).toThrow(TypeError)
    expect(() => adopt(a.fd, JSONCOMM)).toThrow(/belongs to a channel: detach\(\)/)
    const set = FdSet.from([b.detach()])
    expect(() => adopt(set.get(0), JSONCOMM)).toThrow(/belongs to an FdSet: take\(i\)/)
    expect(() => FdSet.from([set.get(0)])).toThrow(expect.objectContaining({ code: 'EBUSY' }))
    keep(adopt(set.take(0), JSONCOMM)).send('both ends live')
    set.close()
    expect(a.closed).toBe(false)
  })

  it('one that is not open: EBADF that names it', () => {
    const fd = openSync('/dev/null', 'r')
    closeSync(fd)
    expect(() => adopt(fd, JSONCOMM)).toThrow(failing('EBADF', new RegExp(`descriptor ${fd}$`)))
  })
})

describe('what is no Unix datagram socket is refused, named, and left as it was', () => {
  const NOT = 'ERR_FDWIRE_NOT_A_SOCKET'
  const WRONG = 'ERR_FDWIRE_WRONG_SOCKET'
  const things: [string, string, () => Promise<number> | number][] = [
    ['file', NOT, () => file('/etc/passwd')],
    ['directory', NOT, () => file('/')],
    ['chardev', NOT, () => file('/dev/null')],
    ['tty', NOT, () => file('/dev/ptmx', constants.O_RDWR | constants.O_NOCTTY)],
    ['path', NOT, () => file('/', 0o10000000)],
    ['pipe', NOT, fifo],
    ['tcp-listener', WRONG, async () => fdOf(await listening())],
    ['tcp-socket', WRONG, async () => fdOf(await connectedTo(await listening()))],
    ['unix-listener', WRONG, async () => fdOf(await listening(join(temporaryDirectory(), 's')))],
    [
      'unix-stream',
      WRONG,
      async () => fdOf(await connectedTo(await listening(`\0${temporaryDirectory()}`))),
    ],
  ]
  it.each(things)('%s', async (kind, code, make) => {
    const fd = await make()
    const [flags, { ino }] = [flagsOf(fd), fstatSync(fd)]
    expect(() => adopt(fd, JSONCOMM)).toThrow(
      failing(code, new RegExp(`^Descriptor ${fd} .*${kind}.*needs a Unix datagram socket`)),
    )
    expect([flagsOf(fd), fstatSync(fd).ino]).toEqual([flags, ino])
  })

  it('unix-seqpacket', async () => {
    const server = keep(await bind('', JSONCOMM))
    const peer = pythonPeer()
    const name = Buffer.from(server.localAddress as string).toString('hex')
    await peer.request({ op: 'open', connect: name })
    await peer.request({ op: 'give', kind: 'SOCK_SEQPACKET' })
    const fd = (await server.receive())?.fds.take(0) as number
    later.push(() => closeSync(fd))
    expect(() => adopt(fd, JSONCOMM)).toThrow(failing(WRONG, /is a unix-seqpacket: jsoncomm over/))
    expect(fstatSync(fd).isSocket()).toBe(true)
  })

  it('a pipe or terminal is sent on to over()', () => {
    expect(() => adopt(fifo(), JSONCOMM)).toThrow(/over\(\)/)
  })

  function fifo(): number {
    const path = join(temporaryDirectory(), 'fifo')
    expect(spawnSync('mkfifo', [path]).status).toBe(0)
    return file(path, constants.O_RDWR)
  }
})

describe('an adopted socket', () => {
  it('is a channel as any other: a pair', async () => {
    const [a, b] = pair(JSONCOMM)
    const [c, d] = [keep(adopt(a.detach(), JSONCOMM)), keep(adopt(b.detach(), JSONCOMM))]
    expect([a.closed, a.fd, c.remoteAddress]).toEqual([true, -1, null])
    const reply = c.request('ask')
    expect((await d.receive())?.value).toBe('ask')
    d.send('answer')
    expect((await reply).value).toBe('answer')
  })

  it('is a channel as any other: bound to a name, and connected to one', async () => {
    const name = `\0${temporaryDirectory()}`
    const server = keep(adopt((await bind(name, JSONCOMM)).detach(), JSONCOMM))
    const client = keep(adopt((await connect(name, JSONCOMM)).detach(), JSONCOMM))
    expect([server.localAddress, client.remoteAddress]).toEqual([name, name])
    const reply = client.request('ask')
    server.send('answer', { to: (await server.receive())?.from as string })
    expect((await reply).value).toBe('answer')
  })

  it('loses nothing that was sent before', async () => {
    const [a, b] = pair(JSONCOMM)
    keep(a).sendAll([1, 2, 3])
    const adopted = keep(adopt(b.detach(), JSONCOMM))
    const values = []
    while (values.length < 3) values.push((await adopted.receive())?.value)
    expect(values).toEqual([1, 2, 3])
  })

  it('is owned: closing the channel closes it', async () => {
    const [a, b] = pair(JSONCOMM)
    keep(a)
    const fd = b.detach()
    await adopt(fd, JSONCOMM).close()
    expect(() => fstatSync(fd)).toThrow(expect.objectContaining({ code: 'EBADF' }))
  })

  it("is still the caller's where an option is wrong", () => {
    const [a, b] = pair(JSONCOMM)
    keep(a)
    const fd = b.detach()
    expect(() => adopt(fd, { protocol: 'nonsense' as 'jsoncomm' })).toThrow(TypeError)
    keep(adopt(fd, JSONCOMM))
  })

  it('works in a child that inherited it as descriptor 3', async () => {
    const [ours, theirs] = pair(JSONCOMM)
    keep(ours)
    const fd = theirs.detach()
    const child = nodePeer({}, { stdio: ['pipe', 'pipe', 'pipe', fd] })
    closeSync(fd)
    expect(await child.request({ call: 'adopt', fd: 3 })).toEqual({})
    ours.send({ to: 'the child' })
    const got = await child.request({ call: 'receive' })
    expect(got.value).toEqual({ to: 'the child' })
    await child.request({ call: 'send', value: 'from the child' })
    expect((await ours.receive())?.value).toBe('from the child')
    await child.stop()
    expect(() => ours.send('to nobody')).toThrow(expect.objectContaining({ code: 'ECONNREFUSED' }))
  })
})

describe('O_NONBLOCK, which belongs to everybody who has the socket, is never touched', () => {
  it.each([false, true])('of a socket that came with it %s', async nonblocking => {
    const server = keep(await bind('', JSONCOMM))
    const peer = pythonPeer()
    const name = Buffer.from(server.localAddress as string).toString('hex')
    await peer.request({ op: 'open', connect: name })
    await peer.request({ op: 'give', kind: 'SOCK_DGRAM', nonblocking })
    const fd = (await server.receive())?.fds.take(0) as number
    const before = flagsOf(fd)
    expect((before & O_NONBLOCK) !== 0).toBe(nonblocking)
    const channel = adopt(fd, JSONCOMM)
    const waiting = channel.receive()
    channel.send('to its other end')
    expect(flagsOf(fd)).toBe(before)
    expect(await peer.request({ op: 'other', value: 'from there' })).toEqual({
      value: 'to its other end',
    })
    expect((await waiting)?.value).toBe('from there')
    expect(flagsOf(fd)).toBe(before)
    expect(channel.detach()).toBe(fd)
    expect(flagsOf(fd)).toBe(before)
    await adopt(fd, JSONCOMM).close()
    expect(await peer.request({ op: 'blocking' })).toEqual({ nonblocking })
  })

  it('of a socket that was bound, connected or paired', async () => {
    const path = join(temporaryDirectory(), 's')
    const channels = [await bind(path, JSONCOMM), await connect(path, JSONCOMM), ...pair(JSONCOMM)]
    for (const channel of channels) {
      keep(channel).on('message', () => {})
      expect(flagsOf(channel.fd) & O_NONBLOCK).toBe(0)
      expect(flagsOf(channel.fd) & constants.O_RDWR).not.toBe(0)
    }
  })
})
