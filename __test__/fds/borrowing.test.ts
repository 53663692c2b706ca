import { spawn } from 'node:child_process'
import dgram from 'node:dgram'
import { once } from 'node:events'
import { closeSync, createReadStream, fstatSync, openSync, readlinkSync } from 'node:fs'
import { open } from 'node:fs/promises'
import net from 'node:net'
import tls from 'node:tls'
import { FdSet, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'

/** Identifies an open file; equal for all descriptors of the same file. */
const identity = (fd: number) => {
  const { dev, ino } = fstatSync(fd)
  return `${readlinkSync(`/proc/self/fd/${fd}`)} ${dev}:${ino}`
}

/** Sends `fds` through a pair and returns the identities of the received descriptors. */
async function transferred(fds: unknown): Promise<string[]> {
  const [a, b] = pair({ protocol: 'jsoncomm' })
  try {
    a.send('message', { fds: fds as never })
    const message = await b.receive()
    const identities = Array.from(message?.fds ?? [], identity)
    message?.fds.close()
    return identities
  } finally {
    await Promise.all([a.close(), b.close()])
  }
}

/** Returns the error with which `send` rejects `fds`. */
const sendError = async (fds: unknown) =>
  transferred(fds).then(
    () => expect.unreachable('send() accepted invalid descriptors'),
    (error: Error & { code?: string; index?: number }) => error,
  )

describe('send with fds', () => {
  it('sends descriptors by number in order, duplicates included', async () => {
    const [one, two] = [openSync('/dev/null', 'r'), openSync('/dev/zero', 'r')]
    const [a, b] = [identity(one), identity(two)]
    expect(await transferred([one, two, one])).toEqual([a, b, a])
    expect(await transferred(new Set([two, one]))).toEqual([b, a])
    expect(await transferred(Int32Array.of(one))).toEqual([a])
    expect(await transferred([])).toEqual([])
    expect(await transferred(undefined)).toEqual([])
    closeSync(one)
    closeSync(two)
  })

  it('accepts a FileHandle, an fs stream and any object with a numeric fd', async () => {
    const handle = await open('/dev/null')
    const stream = createReadStream('/dev/zero')
    await once(stream, 'open')
    const fd = openSync('/dev/full', 'r')
    const received = await transferred([handle, stream, { fd }])
    expect(received.map(name => name.split(' ')[0])).toEqual([
      '/dev/null',
      '/dev/zero',
      '/dev/full',
    ])
    closeSync(fd)
    await handle.close()
    const closed = once(stream, 'close')
    stream.destroy()
    await closed
  })

  it("accepts servers, sockets and a child's stdio together with numbers", async () => {
    const server = net.createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const client = net.connect((server.address() as net.AddressInfo).port)
    const [[served]] = await Promise.all([once(server, 'connection'), once(client, 'connect')])
    const udp = dgram.createSocket('udp4').bind(0, '127.0.0.1')
    await once(udp, 'listening')
    const child = spawn('cat')
    const fd = openSync('/dev/null', 'r')
    const received = await transferred([fd, server, client, udp, child.stdin, child.stdout])
    expect(received[0]).toBe(identity(fd))
    expect(received.slice(1).every(name => name.startsWith('socket:'))).toBe(true)
    expect(new Set(received).size).toBe(6)
    closeSync(fd)
    child.stdin.end()
    client.destroy()
    served.destroy()
    server.close()
    udp.close()
    child.stdout.resume()
    await Promise.all([once(child, 'close'), once(server, 'close'), once(udp, 'close')])
  })

  it('accepts an FdSet and leaves its descriptors open', async () => {
    const fd = openSync('/dev/null', 'r')
    using fds = FdSet.from([fd])
    expect(await transferred(fds)).toEqual([identity(fd)])
    expect(fds.get(0)).toBe(fd)
    expect(await transferred(FdSet.from([]))).toEqual([])
  })

  it('accepts a dgram.Socket without a deprecation warning', async () => {
    const warnings: Error[] = []
    const listener = (warning: Error) => warnings.push(warning)
    process.on('warning', listener)
    const udp = dgram.createSocket('udp4').bind(0, '127.0.0.1')
    await once(udp, 'listening')
    expect(await transferred([udp])).toHaveLength(1)
    const closed = once(udp, 'close')
    udp.close()
    await closed
    process.off('warning', listener)
    expect(warnings).toEqual([])
  })
})

describe('send with invalid fds', () => {
  it('throws a TypeError for a non-iterable, and names an element without a descriptor', async () => {
    for (const fds of [null, 3, '3', {}, true, () => []]) {
      expect(await sendError(fds)).toBeInstanceOf(TypeError)
    }
    for (const wrong of ['0', null, undefined, {}, { fd: '0' }, [0], 1n, FdSet.from([]), () => 0]) {
      const error = await sendError([0, wrong])
      expect(error).toBeInstanceOf(TypeError)
      expect(error.message).toMatch(/^fds\[1\] must be .*FileHandle.*, not /)
    }
  })

  it('throws a RangeError for a number that cannot be a descriptor', async () => {
    for (const wrong of [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31, 2 ** 32]) {
      const error = await sendError([0, wrong])
      expect(error).toBeInstanceOf(RangeError)
      expect(error.message).toContain('fds[1]')
    }
  })

  it('throws EBADF for a descriptor that is not open', async () => {
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

  it('throws for more than 253 descriptors, also from an endless iterable', async () => {
    const endless = (function* () {
      for (;;) yield 0
    })()
    for (const fds of [new Array(254).fill(0), endless]) {
      expect(await sendError(fds)).toMatchObject({
        code: 'ERR_FDWIRE_TOO_MANY_FDS',
        fault: 'caller',
      })
    }
    const fd = openSync('/dev/null', 'r')
    expect(await transferred(new Array(253).fill(fd))).toHaveLength(253)
    closeSync(fd)
  })

  it('throws a TypeError for a TLSSocket', async () => {
    const error = await sendError([new tls.TLSSocket(new net.Socket())])
    expect(error).toBeInstanceOf(TypeError)
    expect(error.message).toMatch(/fds\[0\] is a TLSSocket/)
  })

  it('throws for a source that is not yet open or already closed', async () => {
    const handle = await open('/dev/null')
    await handle.close()
    const udp = dgram.createSocket('udp4')
    const stream = createReadStream('/dev/null')
    for (const source of [new net.Server(), new net.Socket(), udp, handle, stream]) {
      const error = await sendError([source])
      expect(error).toMatchObject({ code: 'ERR_FDWIRE_FD_GONE', fault: 'caller', index: 0 })
    }
    const ended = [once(udp, 'close'), once(stream, 'close')]
    udp.close()
    stream.destroy()
    await Promise.all(ended)
    expect(await sendError([udp])).toMatchObject({ code: 'ERR_FDWIRE_FD_GONE' })
  })

  it('throws for an FdSet that is closed or has a taken entry', async () => {
    const fds = FdSet.from([openSync('/dev/null', 'r'), openSync('/dev/null', 'r')])
    closeSync(fds.take(1))
    expect(await sendError(fds)).toMatchObject({ code: 'ERR_FDWIRE_FD_GONE', index: 1 })
    fds.close()
    expect(await sendError(fds)).toMatchObject({ code: 'ERR_FDWIRE_FD_GONE' })
  })
})
