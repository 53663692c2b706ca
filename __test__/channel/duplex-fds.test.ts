/** toDuplex: descriptors that a stream sends with its bytes, and receives with them. */
import { closeSync, fstatSync, openSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { adopt, type Channel, createMemfd, type FdSet, mapMemfd, pair, toDuplex } from 'fdwire'
import { describe, expect, it } from 'vitest'
import {
  countOpen,
  destroyChannelsAfterEach,
  errorWithCode,
  loopTurns,
  track,
  withFd,
} from '../support/channels.js'
import { cleanUpAfterEach } from '../support/processes.js'
import { canary, channelToPeer, nodePeerStarter } from '../support/rights.js'

destroyChannelsAfterEach()
cleanUpAfterEach()

const RAW = { protocol: 'raw', type: 'stream', maxFds: 253 } as const

type FdStream = ReturnType<typeof toDuplex> & {
  writeWithFds(bytes: unknown, fds: unknown): boolean
  closeFds(fds: number[]): void
}

const toFdStream = (channel: Channel) => toDuplex(track(channel) as never) as FdStream

/** Returns a stream with descriptors, that channel, and the channel at the other end. */
function streamAndPeer(options: { maxFds?: number } = {}) {
  const [own, peer] = pair({ ...RAW, ...options })
  return { stream: toFdStream(own as Channel), channel: own, peer: track(peer) }
}

/** Returns two connected streams with descriptors. */
function streamPair(): [FdStream, FdStream] {
  const [a, b] = pair(RAW)
  return [toFdStream(a as Channel), toFdStream(b as Channel)]
}

/** Sends the text in a memfd, of which no descriptor stays open here. */
function writeMemfd(stream: FdStream, bytes: string, content: string): void {
  using memfd = createMemfd(content)
  stream.writeWithFds(bytes, memfd)
}

/** Returns the contents of memfds, and closes them. */
function readMemfds(stream: FdStream, fds: number[]): string[] {
  const contents = fds.map(fd => mapMemfd(fd).toString())
  stream.closeFds(fds)
  return contents
}

describe('writeWithFds', () => {
  it('sends duplicates, so that the caller may close its descriptors at once', async () => {
    const { stream, peer } = streamAndPeer()
    const file = await open('/dev/zero')
    const number = openSync('/dev/full', 'r')
    expect(stream.writeWithFds(Buffer.from('two'), [file, number])).toBe(true)
    await file.close()
    closeSync(number)
    using fds = (await peer.receive())?.fds
    expect([...(fds as FdSet)].map(fd => fstatSync(fd).rdev)).toEqual(
      await Promise.all(
        ['/dev/zero', '/dev/full'].map(async path => withFd(fd => fstatSync(fd).rdev, path)),
      ),
    )
    await expect.poll(() => countOpen('/dev/full')).toBe(1)
  })

  it('keeps the order of all writes, with and without descriptors, corked or not', async () => {
    const [a, b] = streamPair()
    const read: string[] = []
    b.on('fds', fds => read.push(`<${readMemfds(b, fds).join('+')}>`))
    b.on('data', chunk => read.push(chunk.toString()))
    a.write('a')
    writeMemfd(a, 'b', '1')
    a.cork()
    a.write('c')
    writeMemfd(a, 'd', '2')
    a.write('e')
    writeMemfd(a, 'f', '3')
    writeMemfd(a, 'g', '4')
    a.uncork()
    a.end('h')
    await expect.poll(() => b.readableEnded).toBe(true)
    // A chunk may join bytes that precede those with descriptors, but never those that follow.
    expect(read.join('')).toMatch(/^(a<1>b|<1>ab)(c<2>d|<2>cd)(e<3>f|<3>ef)<4>gh$/)
  })

  it('sends any number of descriptors, beyond what the channel may queue', async () => {
    const [own, peer] = pair({ protocol: 'raw', maxFds: 4, maxQueuedFds: 4 })
    const [a, b] = [toFdStream(own as Channel), toFdStream(peer as Channel)]
    let received = 0
    b.on('fds', fds => {
      received += fds.length
      b.closeFds(fds)
    })
    b.resume()
    await withFd(fd => {
      for (let i = 0; i < 300; i++) a.writeWithFds('x'.repeat(3_000), [fd, fd, fd, fd])
    }, '/dev/random')
    await expect.poll(() => received, { timeout: 20_000 }).toBe(1_200)
    await expect.poll(() => countOpen('/dev/random')).toBe(0)
  })

  it('throws for descriptors without bytes, for too many and for bad ones; sends nothing then', async () => {
    const { stream, peer } = streamAndPeer({ maxFds: 2 })
    const fds = Array(3).fill(0)
    expect(() => stream.writeWithFds('', [0])).toThrow(errorWithCode('UNENCODABLE'))
    expect(() => stream.writeWithFds(Buffer.alloc(0), [0])).toThrow(/at least one byte/)
    expect(() => stream.writeWithFds('x', fds)).toThrow(errorWithCode('TOO_MANY_FDS'))
    expect(() => stream.writeWithFds('x', [-1])).toThrow(RangeError)
    expect(() => stream.writeWithFds('x', [1_000_000])).toThrow(errorWithCode('EBADF'))
    expect(() => stream.writeWithFds('x', [{}])).toThrow(TypeError)
    expect(() => stream.writeWithFds('x', 3)).toThrow(TypeError)
    expect(() => stream.writeWithFds(3, [0])).toThrow(/takes a Buffer/)
    expect(stream.errored).toBe(null)

    // Without descriptors it is an ordinary write.
    expect(stream.writeWithFds('', [])).toBe(true)
    stream.writeWithFds(new Uint16Array([0x4241]), [])
    stream.end()
    expect((await peer.receive())?.value.toString()).toBe('AB')
    expect(await peer.receive()).toBe(null)
  })

  it('closes its duplicates if the stream has ended or is destroyed before they are sent', async () => {
    const watched = canary()
    const ended = streamAndPeer().stream.on('error', () => {})
    ended.end()
    expect(ended.writeWithFds('x', [watched.fd])).toBe(false)
    const destroyed = streamAndPeer().stream.on('error', () => {})
    destroyed.destroy()
    expect(destroyed.writeWithFds('x', [watched.fd])).toBe(false)

    // One write in the kernel's hands, one that waits for it, and one that is corked.
    const { stream } = streamAndPeer()
    stream.write(Buffer.alloc(4_000_000))
    stream.writeWithFds('x', [watched.fd])
    const corked = streamAndPeer().stream
    corked.cork()
    corked.writeWithFds('x', [watched.fd])
    await loopTurns(3)
    stream.destroy()
    corked.destroy()
    watched.close()
    await watched.released
  })
})

describe("the event 'fds'", () => {
  it('comes immediately before the bytes, with numbers that belong to the listener', async () => {
    const { stream, channel, peer } = streamAndPeer()
    const events: unknown[] = []
    stream.on('fds', (fds: number[]) => events.push(fds.length, stream.readableLength, fds))
    stream.on('data', chunk => events.push(chunk.toString()))
    await withFd(fd => peer.send('with two', { fds: [fd, fd] }))
    await expect.poll(() => events.length).toBe(4)
    const [count, before, fds, chunk] = events as [number, number, number[], string]
    expect([count, before, chunk]).toEqual([2, 0, 'with two'])
    expect(channel.stats.openFds).toBe(0)
    stream.destroy()
    // Still open: the stream does not own them.
    for (const fd of fds) closeSync(fd)
  })

  it('comes with the right bytes when the stream is full and is read in parts', async () => {
    const { stream, peer } = streamAndPeer()
    const received: string[] = []
    stream.on('fds', fds => received.push(...readMemfds(stream, fds)))
    for (let i = 0; i < 100; i++) {
      using memfd = createMemfd(`content ${i}`)
      peer.send(`${i}`.padEnd(4_096), { fds: memfd })
    }
    peer.end()
    let read = ''
    while (!stream.readableEnded) {
      const part = stream.read(1_000) ?? stream.read()
      if (part !== null) read += part
      await loopTurns(1)
      // A descriptor never comes after the bytes of its message.
      expect(received.length).toBeGreaterThanOrEqual(Math.ceil(read.length / 4_096))
    }
    expect(received).toEqual(Array.from({ length: 100 }, (_, i) => `content ${i}`))
  })

  it('delivers the bytes even if its listener throws', async () => {
    const { stream, peer } = streamAndPeer()
    const thrown = new Promise(resolve => process.once('uncaughtException', resolve))
    stream.on('fds', fds => {
      stream.closeFds(fds)
      throw new Error('listener')
    })
    await withFd(fd => peer.send('bytes', { fds: [fd] }))
    const [chunk] = await Promise.all([new Promise(resolve => stream.on('data', resolve)), thrown])
    expect(String(chunk)).toBe('bytes')
  })

  it('is not needed: without a listener the descriptors are closed', async () => {
    const { stream, peer } = streamAndPeer()
    const watched = canary()
    peer.send('x', { fds: [watched.fd] })
    watched.close()
    stream.resume()
    await watched.released
    expect(stream.destroyed).toBe(false)
  })
})

describe('closeFds', () => {
  it('closes descriptors, and refuses what it must not close', async () => {
    const { stream, channel } = streamAndPeer()
    const fd = openSync('/dev/null', 'r')
    stream.closeFds([fd])
    expect(() => fstatSync(fd)).toThrow(errorWithCode('EBADF'))
    expect(() => stream.closeFds([fd])).toThrow(errorWithCode('EBADF'))
    expect(() => stream.closeFds([channel.fd])).toThrow(errorWithCode('EBUSY'))
    expect(() => stream.closeFds([-1])).toThrow(RangeError)
    expect(() => stream.closeFds(['1'] as never)).toThrow(TypeError)
    stream.closeFds([])
  })
})

describe('descriptors that no listener takes', () => {
  it('are closed when a chunk has too many, which destroys the stream after what preceded it', async () => {
    const { channel, peer: other } = streamAndPeer()
    const watched = canary()
    const limited = toFdStream(adopt(other.detach(), { ...RAW, maxFds: 1 }) as Channel)
    // Bytes with a descriptor are a chunk of their own.
    channel.send('before', { fds: [watched.fd] })
    channel.send('refused', { fds: [watched.fd, watched.fd] })
    watched.close()
    const read: string[] = []
    const failed = new Promise(resolve => limited.on('error', resolve))
    limited.on('data', chunk => read.push(chunk.toString()))
    expect(await failed).toMatchObject({ code: 'ERR_FDWIRE_TOO_MANY_FDS' })
    expect(limited.destroyed).toBe(true)
    expect(read).toEqual(['before'])
    await watched.released
  })

  it('are closed when the stream is destroyed before it has read them', async () => {
    const { stream, peer } = streamAndPeer()
    const watched = canary()
    // The kernel reports that its message was not read.
    peer.on('error', () => {})
    stream.on('fds', () => expect.unreachable())
    peer.send('x', { fds: [watched.fd] })
    await peer.flush()
    watched.close()
    stream.destroy()
    await watched.released
  })

  it('are closed when the stream is destroyed while its buffer is full', async () => {
    const { stream, peer } = streamAndPeer()
    const watched = canary()
    peer.on('error', () => {})
    for (let i = 0; i < 20; i++) peer.send(Buffer.alloc(30_000), { fds: [watched.fd] })
    watched.close()
    stream.on('fds', fds => stream.closeFds(fds))
    stream.read(0)
    await new Promise(resolve => stream.once('readable', resolve))
    stream.destroy()
    peer.destroy()
    await watched.released
  })

  it('are closed when the peer is killed in the middle of a message', async () => {
    const { channel, peer } = channelToPeer(RAW, nodePeerStarter(RAW))
    const stream = toFdStream(channel)
    const watched = canary()
    const results: unknown[] = []
    stream.on('error', () => {})
    stream.write(Buffer.alloc(2_000_000), error => results.push(error))
    stream.writeWithFds('never read', [watched.fd])
    watched.close()
    await peer.stop('SIGKILL')
    stream.resume()
    await expect.poll(() => stream.destroyed).toBe(true)
    await watched.released
    expect(results).toEqual([expect.any(Error)])
  })
})
