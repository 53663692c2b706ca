import { execFile, execFileSync, spawn } from 'node:child_process'
import { lookup } from 'node:dns/promises'
import { once } from 'node:events'
import {
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { readFile } from 'node:fs/promises'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer, text } from 'node:stream/consumers'
import { finished } from 'node:stream/promises'
import tty from 'node:tty'
import { promisify } from 'node:util'
import { FdSet } from 'fdwire'
import { afterAll, describe, expect, it } from 'vitest'
import { receivedFdSet } from '../support/channels.js'
import { fdTargets } from '../support/descriptors.js'
import { flagsOf, O_NONBLOCK, Peer, testPath } from '../support/processes.js'
import { waitUntil } from '../support/streams.js'

const BLOCKING_PIPE = testPath('support/children/blocking-pipe.mjs')

const dir = mkdtempSync(join(tmpdir(), 'fdwire-streams-'))
afterAll(() => rmSync(dir, { recursive: true }))

const GONE = expect.objectContaining({ code: 'ERR_FDWIRE_FD_GONE' })
const FD_KIND = expect.objectContaining({ code: 'ERR_FDWIRE_FD_KIND', fault: 'caller' })

let names = 0
const path = () => join(dir, `${names++}`)
const file = (content: string) => {
  const name = path()
  writeFileSync(name, content)
  return name
}
const fifo = () => {
  const name = path()
  execFileSync('mkfifo', [name])
  return name
}
/** Destroys sockets and waits until they are closed. */
const closeAll = (...sockets: net.Socket[]) =>
  Promise.all(
    sockets.map(socket => {
      const closed = once(socket, 'close')
      socket.destroy()
      return closed
    }),
  )

describe('toReadStream and toWriteStream of a file', () => {
  it('read from the start of the file without moving the shared offset', async () => {
    const fd = openSync(file('0123456789'), 'r')
    readSync(fd, Buffer.alloc(3))
    const fds = await receivedFdSet(fd, fd)
    expect(await text(fds.toReadStream(0))).toBe('0123456789')
    expect(await text(fds.toReadStream(1, { start: 2, end: 4, encoding: 'latin1' }))).toBe('234')
    const next = Buffer.alloc(1)
    readSync(fd, next)
    expect(String(next)).toBe('3')
    fds.close()
    closeSync(fd)
  })

  it('write from the start of the file without moving the shared offset', async () => {
    const name = file('0123456789')
    const fd = openSync(name, 'r+')
    const fds = await receivedFdSet(fd, fd)
    await finished(fds.toWriteStream(0).end('AB'))
    await finished(fds.toWriteStream(1, { start: 8 }).end('YZ'))
    writeSync(fd, 'a')
    expect(readFileSync(name, 'utf8')).toBe('aB234567YZ')
    fds.close()
    closeSync(fd)
  })

  it('emit EBADF for a write-only descriptor that is read, and close it once', async () => {
    const fd = openSync(file('x'), 'w')
    const fds = await receivedFdSet(fd)
    const stream = fds.toReadStream(0)
    await expect(buffer(stream)).rejects.toMatchObject({ code: 'EBADF' })
    await finished(stream).catch(() => {})
    expect(() => fds.get(0)).toThrow(GONE)
    fds.close()
    closeSync(fd)
  })

  it('leave the descriptor in the set if an option is invalid', async () => {
    const fds = FdSet.from([openSync(file('x'), 'r')])
    expect(() => fds.toReadStream(0, { start: 3, end: 1 })).toThrow(RangeError)
    expect(() => fds.toReadStream(0, { start: -1 })).toThrow(RangeError)
    expect(() => fds.toReadStream(0, { encoding: 'klingon' as BufferEncoding })).toThrow(TypeError)
    expect(() => fds.toReadStream(0, { autoClose: false } as object)).toThrow(/no option autoClose/)
    expect(() => fds.toWriteStream(0, { end: 1 } as object)).toThrow(/no option end/)
    expect(() => fds.toSocket(0)).toThrow(FD_KIND)
    expect(await text(fds.toReadStream(0))).toBe('x')
    fds.close()
  })

  it('close the file when the signal is aborted', async () => {
    const fds = FdSet.from([openSync(file('x'), 'r')])
    const controller = new AbortController()
    const stream = fds.toReadStream(0, { signal: controller.signal })
    const ended = expect(finished(stream)).rejects.toMatchObject({ name: 'AbortError' })
    controller.abort()
    await ended
    fds.close()
  })
})

describe('toReadStream of a memfd', () => {
  it('reads from the start, as for a file', async () => {
    const code = 'import os,sys; f=os.memfd_create("m"); os.write(f,b"memory"); print(f,flush=True)'
    const python = spawn('python3', ['-c', `${code}; sys.stdin.read()`])
    const number = String((await once(python.stdout, 'data'))[0]).trim()
    const fds = FdSet.from([openSync(`/proc/${python.pid}/fd/${number}`, 'r')])
    python.stdin.end()
    await once(python, 'close')
    expect(fds.kind(0)).toBe('memfd')
    expect(await text(fds.toReadStream(0))).toBe('memory')
    fds.close()
  })
})

describe('toReadStream and toWriteStream of a pipe', () => {
  it('return net.Sockets for one direction', async () => {
    const name = fifo()
    const reading = openSync(name, constants.O_RDONLY | constants.O_NONBLOCK)
    const fds = FdSet.from([reading, openSync(name, 'w')])
    const reader = fds.toReadStream(0)
    const writer = fds.toWriteStream(1, { highWaterMark: 10 })
    expect([reader, writer].every(stream => stream instanceof net.Socket)).toBe(true)
    writer.end('through the pipe')
    expect(await text(reader)).toBe('through the pipe')
    await finished(writer)
    fds.close()
  })

  it('end although all writers were gone before the stream was made', async () => {
    const name = fifo()
    const reading = openSync(name, constants.O_RDONLY | constants.O_NONBLOCK)
    writeFileSync(name, 'written before')
    const fds = FdSet.from([reading])
    expect(await text(fds.toReadStream(0))).toBe('written before')
    fds.close()
  })

  it('do not block the thread pool, which fs and dns use, while the pipe is empty', async () => {
    const fds = FdSet.from(Array.from({ length: 8 }, () => openSync(fifo(), 'r+')))
    const streams = [0, 1, 2, 3, 4, 5, 6, 7].map(i => fds.toReadStream(i).resume())
    expect((await readFile(file('still here'))).toString()).toBe('still here')
    expect(await lookup('localhost')).toHaveProperty('address')
    await closeAll(...(streams as net.Socket[]))
    fds.close()
  })
})

describe('a pipe that its sender makes blocking', () => {
  it('does not become the blocking pipe of the stream, which has flags of its own', async () => {
    const shared = openSync(fifo(), 'r+')
    const fds = await receivedFdSet(shared, shared)
    const reader = fds.toReadStream(0) as net.Socket
    const writer = fds.toWriteStream(1) as net.Socket
    expect(flagsOf(shared) & O_NONBLOCK).toBe(0)
    expect(() => fds.get(0)).toThrow(GONE)
    writer.write('through the pipe')
    expect(String((await once(reader, 'data'))[0])).toBe('through the pipe')
    await closeAll(reader, writer)
    closeSync(shared)
  })

  it('does not stop the event loop', async () => {
    const run = promisify(execFile)(process.execPath, [BLOCKING_PIPE, fifo()], { timeout: 60_000 })
    expect((await run).stdout).toBe('still turning\n')
  }, 90_000)

  it('leaves the descriptor in the set, and opens none, if an option is invalid', async () => {
    const fds = FdSet.from([openSync(fifo(), 'r+')])
    const before = fdTargets().length
    for (const wrong of [{ highWaterMark: -1 }, { highWaterMark: 'x' }, { nonsense: 1 }]) {
      expect(() => fds.toReadStream(0, wrong as object)).toThrow()
    }
    expect(fds.kind(0)).toBe('pipe')
    // A thread closes pipes, also those of earlier tests.
    await waitUntil(() => fdTargets().length <= before)
    fds.close()
  })

  it('is used as it is where it belongs to another user', async () => {
    // The writing end of a pipe without readers cannot be opened again either.
    const name = fifo()
    const reading = openSync(name, constants.O_RDONLY | constants.O_NONBLOCK)
    const fds = FdSet.from([openSync(name, 'w')])
    closeSync(reading)
    const writer = fds.toWriteStream(0)
    writer.write('nobody reads this')
    const [error] = await once(writer, 'error')
    expect(error).toMatchObject({ code: 'EPIPE' })
    fds.close()
  })
})

describe('toReadStream and toWriteStream of a file whose file system may have a server', () => {
  const REMOTE = expect.objectContaining({ code: 'ERR_FDWIRE_REMOTE_FILE', fault: 'caller' })

  it('refuse files and FIFOs on FUSE, and files of an overlay over it, without trust', async () => {
    const [fuse, overlay, empty] = [path(), path(), path()]
    for (const directory of [fuse, overlay, empty]) mkdirSync(directory)
    const server = new Peer('python3', [testPath('support/peers/fuse.py'), fuse, overlay, empty])
    expect(await server.receive()).toBe('mounted')
    try {
      using fds = FdSet.from([
        openSync(join(fuse, 'file'), 'r'),
        openSync(join(overlay, 'file'), 'r'),
        openSync(join(fuse, 'fifo'), 'r+'),
      ])
      for (const i of [0, 1, 2]) {
        expect(() => fds.toReadStream(i)).toThrow(REMOTE)
        expect(() => fds.toWriteStream(i)).toThrow(REMOTE)
      }
      await closeAll(fds.toReadStream(2, { trust: true }) as net.Socket)
    } finally {
      server.child.stdin?.end()
    }
    expect(await server.exited).toBe(0)
  })

  it('refuse the files of the kernel, which may wait for an event, and take them with trust', async () => {
    const fds = FdSet.from([openSync('/proc/version', 'r'), openSync('/sys/kernel/notes', 'r')])
    for (const i of [0, 1]) expect(() => fds.toReadStream(i)).toThrow(REMOTE)
    expect(await text(fds.toReadStream(0, { trust: true }))).toContain('Linux')
    fds.close()
  })

  it('take files of a disk that another mount namespace has mounted, and of tmpfs', async () => {
    const name = file('on a disk')
    const code =
      'mount -t tmpfs none /mnt && echo in memory > /mnt/x && exec 3</mnt/x 4<"$0" && echo; read _'
    const other = spawn('unshare', ['--mount', 'sh', '-c', code, name])
    await once(other.stdout, 'data')
    const fds = FdSet.from([3, 4].map(n => openSync(`/proc/${other.pid}/fd/${n}`, 'r')))
    expect(await text(fds.toReadStream(0))).toBe('in memory\n')
    expect(await text(fds.toReadStream(1))).toBe('on a disk')
    fds.close()
    other.stdin.end()
    await once(other, 'close')
  })
})

describe('toReadStream and toWriteStream of a terminal', () => {
  const code = `
import os, sys, tty
master, slave = os.openpty()
tty.setraw(slave)
print(os.ttyname(slave), flush=True)
sys.stdin.read(1)
os.write(master, b"typed")
sys.stdout.buffer.write(os.read(master, 100))
sys.stdout.flush()
sys.stdin.read()`

  it('return tty streams and leave no descriptor open', async () => {
    const python = spawn('python3', ['-c', code])
    const name = String((await once(python.stdout, 'data'))[0]).trim()
    const open = () => openSync(name, constants.O_RDWR | constants.O_NOCTTY)
    const fds = FdSet.from([open(), open()])
    expect(fds.kind(0)).toBe('tty')
    expect(() => fds.toReadStream(0, { highWaterMark: 1 })).toThrow(/no option highWaterMark/)
    const reader = fds.toReadStream(0, { encoding: 'utf8' })
    const writer = fds.toWriteStream(1)
    expect(reader).toBeInstanceOf(tty.ReadStream)
    expect(writer).toBeInstanceOf(tty.WriteStream)
    python.stdin.write('.')
    expect((await once(reader, 'data'))[0]).toBe('typed')
    writer.write('shown')
    expect(String((await once(python.stdout, 'data'))[0])).toBe('shown')
    await closeAll(reader as net.Socket, writer as net.Socket)
    fds.close()
    expect(fdTargets().filter(link => link === name)).toEqual([])
    python.stdin.end()
    await once(python, 'close')
  })
})

describe('toReadStream and toWriteStream of a directory or a device', () => {
  it('throw unless the caller sets trust: true', async () => {
    const fds = FdSet.from([
      openSync('/', 'r'),
      openSync('/dev/zero', 'r'),
      openSync('/dev/null', 'w'),
    ])
    for (const i of [0, 1, 2]) {
      expect(() => fds.toReadStream(i)).toThrow(FD_KIND)
      expect(() => fds.toWriteStream(i)).toThrow(/trust: true/)
    }
    await expect(buffer(fds.toReadStream(0, { trust: true }))).rejects.toMatchObject({
      code: 'EISDIR',
    })
    const zeros = fds.toReadStream(1, { trust: true, highWaterMark: 10 })
    expect((await once(zeros, 'data'))[0]).toEqual(Buffer.alloc(10))
    const closed = once(zeros, 'close')
    zeros.destroy()
    await closed
    await finished(fds.toWriteStream(2, { trust: true }).end('nothing'))
    fds.close()
  })
})
