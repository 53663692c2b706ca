import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { bind, type Channel, createMemfd, type FdSet, listen, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode, track, withFd } from '../support/channels.js'
import { cleanUpAfterEach, Peer, readContents, testPath } from '../support/processes.js'
import { abstractName } from '../support/streams.js'

cleanUpAfterEach()
destroyChannelsAfterEach()

const MIB = 1024 * 1024
/** The largest message (bytes) that fits into the default send buffer without a memfd. */
const LARGEST_INLINE = 212_960
const SIZES = [1_024, LARGEST_INLINE, LARGEST_INLINE + 1, 4 * MIB, 16 * MIB]
const words = (count: number) => Array.from({ length: count }, (_, i) => `word ${i}`)

/** The value whose JSON is what `text` in peers/memfd.py returns, `size` bytes. */
function text(size: number): string {
  const line = Array.from({ length: 4093 }, (_, i) => String.fromCharCode(97 + ((i * i) % 26)))
  return line
    .join('')
    .repeat(Math.floor(size / 4093) + 1)
    .slice(0, size - 2)
}

const shaOf = (value: string) => createHash('sha256').update(JSON.stringify(value)).digest('hex')

/** Runs `use` with memfds that contain the words, and closes them afterwards. */
async function withWordFiles<T>(count: number, use: (fds: number[]) => T | Promise<T>): Promise<T> {
  const sets = words(count).map(word => createMemfd(word))
  try {
    return await use(sets.map(set => set.get(0)))
  } finally {
    for (const set of sets) set.close()
  }
}

const wordsOf = (fds: FdSet) => [...fds].map(readContents)

/** Starts the Python peer and connects a channel to it. */
async function connectPeer(type: 'seqpacket' | 'dgram', options: object = {}) {
  const name = abstractName()
  const peer = new Peer('python3', ['-B', testPath('support/peers/memfd.py')])
  const open = { op: 'open', path: name.replaceAll('\0', '@') }
  if (type === 'dgram') {
    const channel = track(await bind(name, { protocol: 'jsoncomm', memfd: true, ...options }))
    await peer.request({ ...open, kind: 'SOCK_DGRAM' })
    return { peer, channel }
  }
  const listener = await listen(name, { protocol: 'jsoncomm', type, ...options })
  const connection = once(listener, 'connection')
  await peer.request({ ...open, kind: 'SOCK_SEQPACKET' })
  const channel = track((await connection)[0] as Channel)
  await listener.close()
  return { peer, channel }
}

describe.each(['seqpacket', 'dgram'] as const)('large messages over %s', type => {
  it('arrive from the original, in a memfd or inline, with their descriptors', async () => {
    const { peer, channel } = await connectPeer(type)
    for (const size of SIZES) {
      for (const count of [0, 1, 252]) {
        for (const inMemfd of size > LARGEST_INLINE ? [true] : [true, false]) {
          peer.send({ op: 'send', size, words: words(count), in_memfd: inMemfd })
          const message = await channel.receive()
          expect(message?.value === text(size)).toBe(true)
          expect(wordsOf(message?.fds as FdSet)).toEqual(words(count))
          message?.fds.close()
          await peer.receive()
        }
      }
    }
  })

  it('reach the original, above the inline limit in a sealed memfd with its name', async () => {
    const { peer, channel } = await connectPeer(type)
    let to: string | undefined
    if (type === 'dgram') {
      peer.send({ op: 'send', size: 10 })
      to = (await channel.receive())?.from as string
      await peer.receive()
    }
    for (const size of SIZES) {
      for (const count of [0, 1, 252]) {
        await withWordFiles(count, fds => channel.send(text(size), { fds, to }))
        const received = await peer.request({ op: 'recv' })
        expect(received).toMatchObject({
          size,
          sha: shaOf(text(size)),
          words: words(count),
          cut: false,
          in_memfd: size > LARGEST_INLINE,
        })
        if (size <= LARGEST_INLINE) continue
        // F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE
        expect(received).toMatchObject({ seals: 15, name: '/memfd:jsoncomm/payload (deleted)' })
      }
    }
  })

  it('carry at most 252 descriptors: send throws for 253', async () => {
    const [a, b] = pair({ protocol: 'jsoncomm', type, memfd: true }).map(track) as [
      Channel,
      Channel,
    ]
    await withFd(fd => {
      const fds = Array(253).fill(fd)
      const tooManyFds = expect.objectContaining({
        code: 'ERR_FDWIRE_TOO_MANY_FDS',
        fault: 'caller',
      })
      expect(() => a.send(text(MIB), { fds })).toThrow(tooManyFds)
      expect(a.send('small', { fds })).toBe(true)
    })
    const message = await b.receive()
    expect([message?.value, message?.fds.length]).toEqual(['small', 253])
    message?.fds.close()
  })

  it('keep their order and descriptors in the queue, and count in queuedBytes by their full size', async () => {
    const options = { protocol: 'jsoncomm', type, memfd: true } as const
    const [a, b] = pair({ ...options, maxQueued: 8 * MIB }).map(track) as [Channel, Channel]
    const sent: [number, number][] = []
    await withWordFiles(3, fds => {
      const send = (size: number, count: number) => {
        sent.push([size, count])
        return a.send(text(size), { fds: fds.slice(0, count) })
      }
      while (send(50_000, sent.length % 3));
      for (let i = 0; i < 6; i++) send(i % 2 === 0 ? MIB : 100, i % 4)
      expect(a.stats.queuedBytes).toBeGreaterThan(3 * MIB)
      // A message over the inline limit is put into a memfd at once, so send throws for 253 here
      // too.
      expect(() => a.send(text(MIB), { fds: Array(253).fill(fds[0]) })).toThrow(
        errorWithCode('TOO_MANY_FDS'),
      )
      expect(() => a.send(text(6 * MIB))).toThrow(errorWithCode('QUEUE_FULL'))
    })
    for (const [size, count] of sent) {
      const message = await b.receive()
      expect(message?.value === text(size)).toBe(true)
      expect(message?.fds.length).toBe(count)
      expect(wordsOf(message?.fds as FdSet)).toEqual(words(count))
      message?.fds.close()
    }
    await a.flush()
    expect([a.stats.queuedBytes, a.stats.queuedFds]).toEqual([0, 0])
  })

  it('are sent ahead of the reader up to maxQueued, and then queued', async () => {
    const options = { protocol: 'jsoncomm', type, memfd: true, maxQueued: 8 * MIB } as const
    const [a, b] = pair(options).map(track) as [Channel, Channel]
    const piece = text(MIB)
    let sent = 1
    while (a.send(piece)) sent++
    expect(sent).toBeLessThanOrEqual(9)
    // The queue holds as much again.
    expect(() => {
      for (;;) {
        a.send(piece)
        sent++
      }
    }).toThrow(errorWithCode('QUEUE_FULL'))
    expect(sent).toBeLessThanOrEqual(17)
    for (let i = 0; i < sent; i++) expect((await b.receive())?.value === piece).toBe(true)
    await a.flush()
    expect(a.send(piece)).toBe(true)
  })

  it('are malformed in anything but a readable memfd, and the next message arrives', async () => {
    const { peer, channel } = await connectPeer(type)
    const kinds = {
      nothing: 'ERR_FDWIRE_NO_MEMFD',
      'a pipe': 'ERR_FDWIRE_NO_MEMFD',
      'a disk file': 'ERR_FDWIRE_NO_MEMFD',
      'a socket': 'ERR_FDWIRE_NO_MEMFD',
      'a directory': 'ERR_FDWIRE_NO_MEMFD',
      'a write-only memfd': 'ERR_FDWIRE_NO_MEMFD',
      'a memfd positioned at its end': 'ERR_FDWIRE_EMPTY_MESSAGE',
      'an empty memfd': 'ERR_FDWIRE_EMPTY_MESSAGE',
      'a memfd of 1 TiB': 'ERR_FDWIRE_MESSAGE_TOO_LARGE',
      'a memfd with invalid JSON': 'ERR_FDWIRE_NOT_JSON',
      'a memfd with invalid UTF-8': 'ERR_FDWIRE_NOT_UTF8',
    }
    const before = await peer.request({ op: 'fds' })
    const codes: string[] = []
    channel.on('malformed', error => codes.push((error as NodeJS.ErrnoException).code as string))
    for (const kind of Object.keys(kinds)) {
      await peer.request({ op: 'invalid', kind, words: kind === 'nothing' ? [] : words(2) })
    }
    peer.send({ op: 'send', size: 100, words: words(1) })
    const message = await channel.receive()
    expect([String(message?.value).length, wordsOf(message?.fds as FdSet)]).toEqual([98, words(1)])
    message?.fds.close()
    expect(codes).toEqual(Object.values(kinds))
    await peer.receive()
    expect(await peer.request({ op: 'fds' })).toEqual(before)
  })

  it('are read from the file offset, which does not move', async () => {
    const { peer, channel } = await connectPeer(type)
    peer.send({ op: 'send_from_offset' })
    expect((await channel.receive())?.value).toBe('but this')
    expect(await peer.receive()).toEqual({ offset: 8 })
  })

  it('are malformed as a whole if they exceed maxMessage or maxFds', async () => {
    const { peer, channel } = await connectPeer(type, { maxMessage: MIB, maxFds: 1 })
    const codes: string[] = []
    channel.on('malformed', error => codes.push((error as NodeJS.ErrnoException).code as string))
    await peer.request({ op: 'send', size: MIB + 1, words: words(1), in_memfd: true })
    await peer.request({ op: 'send', size: 100, words: words(2), in_memfd: true })
    peer.send({ op: 'send', size: MIB, words: words(1), in_memfd: true })
    const message = await channel.receive()
    expect([String(message?.value).length, message?.fds.length]).toEqual([MIB - 2, 1])
    message?.fds.close()
    expect(codes).toEqual(['ERR_FDWIRE_MESSAGE_TOO_LARGE', 'ERR_FDWIRE_TOO_MANY_FDS'])
    await peer.receive()
  })

  it('with memfd: false fail with EMSGSIZE, and a received memfd marker is invalid JSON', async () => {
    const { peer, channel } = await connectPeer(type, { memfd: false })
    const codes: string[] = []
    channel.on('malformed', error => codes.push((error as NodeJS.ErrnoException).code as string))
    await peer.request({ op: 'send', size: 100, words: words(1), in_memfd: true })
    peer.send({ op: 'send', size: 100 })
    const from = (await channel.receive())?.from
    expect(codes).toEqual(['ERR_FDWIRE_NOT_JSON'])
    expect(() => channel.send(text(MIB), type === 'dgram' ? { to: from as string } : {})).toThrow(
      expect.objectContaining({ code: 'EMSGSIZE' }),
    )
    await peer.receive()
  })
})
