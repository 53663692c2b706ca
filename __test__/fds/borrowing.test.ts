import { spawn } from 'node:child_process'
import dgram from 'node:dgram'
import { once } from 'node:events'
import { closeSync, createReadStream, fstatSync, openSync, readlinkSync } from 'node:fs'
import { open } from 'node:fs/promises'
import net from 'node:net'
import tls from 'node:tls'
import { FdSet, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'

/** What an open file is, the same for every descriptor of it. */
const identity = (fd: number) => {
  const { dev, ino } = fstatSync(fd)
  return `${readlinkSync(`/proc/self/fd/${fd}`)} ${dev}:${ino}`
}

/** What arrives at the other end of a pair, as identities. */
async function arriving(fds: unknown): Promise<string[]> {
  const [a, b] = pair({ protocol: 'jsoncomm' })
  try {
    a.send('here', { fds: fds as never })
    const message = await b.receive()
    const arrived = Array.from(message?.fds ?? [], identity)
    message?.fds.close()
    return arrived
  } finally {
    await Promise.all([a.close(), b.close()])
  }
}

const refused = async (fds: unknown) =>
  arriving(fds).then(
    () => expect.unreachable('it was sent'),
    (error: Error & { code?: string; index?: number }) => error,
  )

describe('a message takes along', () => {
  it('descriptors by number, the same one twice, in order', async () => {
    const [one, two] = [openSync('/dev/null', 'r'), openSync('/dev/zero', 'r')]
    const [a, b] = [identity(one), identity(two)]
    expect(await arriving([one, two, one])).toEqual([a, b, a])
    expect(await arriving(new Set([two, one]))).toEqual([b, a])
    expect(await arriving(Int32Array.of(one))).toEqual([a])
    expect(await arriving([])).toEqual([])
    expect(await arriving(undefined)).toEqual([])
    closeSync(one)
    closeSync(two)
  })

  it('a FileHandle, a stream of fs, and whatever has a numeric fd', async () => {
    const handle = await open('/dev/null')
    const stream = createReadStream('/dev/zero')
    await once(stream, 'open')
    const fd = openSync('/dev/full', 'r')
    const arrived = await arriving([handle, stream, { fd }])
    expect(arrived.map(name => name.split(' ')[0])).toEqual(['/dev/null', '/dev/zero', '/dev/full'])
    closeSync(fd)
    await handle.close()
    const closed = once(stream, 'close')
    stream.destroy()
    await closed
  })

  it("servers, sockets and a child's stdio, mixed with numbers", async () => {
    const server = net.createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const client = net.connect((server.address() as net.AddressInfo).port)
    const [[served]] = await Promise.all([once(server, 'connection'), once(client, 'connect')])
    const udp = dgram.createSocket('udp4').bind(0, '127.0.0.1')
    await once(udp, 'listening')
    const child = spawn('cat')
    const fd = openSync('/dev/null', 'r')
    const arrived = await arriving([fd, server, client, udp, child.stdin, child.stdout])
    expect(arrived[0]).toBe(identity(fd))
    expect(arrived.slice(1).every(name => name.startsWith('socket:'))).toBe(true)
    expect(new Set(arrived).size).toBe(6)
    closeSync(fd)
    child.stdin.end()
    client.destroy()
    served.destroy()
    server.close()
    udp.close()
    child.stdout.resume()
    await Promise.all([once(child, 'close'), once(server, 'close'), once(udp, 'close')])
  })

  it('a whole set, which keeps what it has', async () => {
    const fd = openSync('/dev/null', 'r')
    using fds = FdSet.from([fd])
    expect(await arriving(fds)).toEqual([identity(fd)])
    expect(fds.get(0)).toBe(fd)
    expect(await arriving(FdSet.from([]))).toEqual([])
  })

  it('a dgram.Socket without a warning', async () => {
    const warnings: Error[] = []
    const listener = (warning: Error) => warnings.push(warning)
    process.on('warning', listener)
    const udp = dgram.createSocket('udp4').bind(0, '127.0.0.1')
    await once(udp, 'listening')
    expect(await arriving([udp])).toHaveLength(1)
    const closed = once(udp, 'close')
    udp.close()
    await closed
    process.off('warning', listener)
    expect(warnings).toEqual([])
  })
})

describe('a call is refused, and nothing is sent', () => {
  it('for a list that is none, or an element that has no descriptor, which it names', async () => {
    for (const fds of [null, 3, '3', {}, true, () => []]) {
      expect(await refused(fds)).toBeInstanceOf(TypeError)
    }
    for (const wrong of ['0', null, undefined, {}, { fd: '0' }, [0], 1n, FdSet.from([]), () => 0]) {
      const error = await refused([0, wrong])
      expect(error).toBeInstanceOf(TypeError)
      expect(error.message).toMatch(/^fds\[1\] must be .*FileHandle.*, not /)
    }
  })

  it('for a number that no descriptor has', async () => {
    for (const wrong of [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31, 2 ** 32]) {
      const error = await refused([0, wrong])
      expect(error).toBeInstanceOf(RangeError)
      expect(error.message).toContain('fds[1]')
    }
  })

  it('for one that is not open', async () => {
    const [a, b] = pair({ protocol: 'jsoncomm' })
    const fd = openSync('/dev/null', 'r')
    closeSync(fd)
    for (const closed of [fd, 2 ** 31 - 1]) {
      expect(() => a.send('here', { fds: [closed, 0] })).toThrow(
        expect.objectContaining({ code: 'EBADF' }),
      )
    }
    await Promise.all([a.close(), b.close()])
  })

  it('for more than 253, from a list without end, too', async () => {
    const endless = (function* () {
      for (;;) yield 0
    })()
    for (const fds of [new Array(254).fill(0), endless]) {
      expect(await refused(fds)).toMatchObject({ code: 'ERR_FDWIRE_TOO_MANY_FDS', fault: 'caller' })
    }
    const fd = openSync('/dev/null', 'r')
    expect(await arriving(new Array(253).fill(fd))).toHaveLength(253)
    closeSync(fd)
  })

  it('for a TLSSocket', async () => {
    const error = await refused([new tls.TLSSocket(new net.Socket())])
    expect(error).toBeInstanceOf(TypeError)
    expect(error.message).toMatch(/fds\[0\] is a TLSSocket/)
  })

  it('for what is not open yet, or not any more', async () => {
    const handle = await open('/dev/null')
    await handle.close()
    const udp = dgram.createSocket('udp4')
    const stream = createReadStream('/dev/null')
    for (const closed of [new net.Server(), new net.Socket(), udp, handle, stream]) {
      const error = await refused([closed])
      expect(error).toMatchObject({ code: 'ERR_FDWIRE_FD_GONE', fault: 'caller', index: 0 })
    }
    const ended = [once(udp, 'close'), once(stream, 'close')]
    udp.close()
    stream.destroy()
    await Promise.all(ended)
    expect(await refused([udp])).toMatchObject({ code: 'ERR_FDWIRE_FD_GONE' })
  })

  it('for a set with an entry that was taken, or that is closed', async () => {
    const fds = FdSet.from([openSync('/dev/null', 'r'), openSync('/dev/null', 'r')])
    closeSync(fds.take(1))
    expect(await refused(fds)).toMatchObject({ code: 'ERR_FDWIRE_FD_GONE', index: 1 })
    fds.close()
    expect(await refused(fds)).toMatchObject({ code: 'ERR_FDWIRE_FD_GONE' })
  })
})
