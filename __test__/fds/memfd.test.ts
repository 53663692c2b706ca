import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { openSync, readFileSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { bind, type Channel, createMemfd, FdSet, listen, mapMemfd, pair, sealMemfd } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode, track, withFd } from '../support/channels.js'
import { cleanUpAfterEach, Peer, readContents, testPath } from '../support/processes.js'
import { abstractName, runCleanupsAfterEach, waitUntil } from '../support/streams.js'

cleanUpAfterEach()
destroyChannelsAfterEach()
runCleanupsAfterEach()

const MIB = 1024 * 1024
/** The largest record that goes as it is, with the send buffer that the kernel gives. */
const LARGEST = 212_960
const SIZES = [1_024, LARGEST, LARGEST + 1, 4 * MIB, 16 * MIB]
const words = (count: number) => Array.from({ length: count }, (_, i) => `word ${i}`)

/** What `text` in peers/memfd.py makes, and as a value. */
function text(size: number): string {
  const line = Array.from({ length: 4093 }, (_, i) => String.fromCharCode(97 + ((i * i) % 26)))
  return line
    .join('')
    .repeat(Math.floor(size / 4093) + 1)
    .slice(0, size - 2)
}

const shaOf = (value: string) => createHash('sha256').update(JSON.stringify(value)).digest('hex')

/** Files that hold these words, and are closed when `use` is done. */
async function withFiles<T>(count: number, use: (fds: number[]) => T | Promise<T>): Promise<T> {
  const sets = words(count).map(word => createMemfd(word))
  try {
    return await use(sets.map(set => set.get(0)))
  } finally {
    for (const set of sets) set.close()
  }
}

const wordsOf = (fds: FdSet) => [...fds].map(readContents)

/** A channel of ours and the peer in Python, which is another's process. */
async function met(type: 'seqpacket' | 'dgram', options: object = {}) {
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
  it('come from the original, in a memfd or as they are, with the descriptors behind', async () => {
    const { peer, channel } = await met(type)
    for (const size of SIZES) {
      for (const count of [0, 1, 252]) {
        for (const carried of size > LARGEST ? [true] : [true, false]) {
          peer.send({ op: 'send', size, words: words(count), carried })
          const message = await channel.receive()
          expect(message?.value === text(size)).toBe(true)
          expect(wordsOf(message?.fds as FdSet)).toEqual(words(count))
          message?.fds.close()
          await peer.receive()
        }
      }
    }
  })

  it('go to the original: sealed, from the beginning, under its name', async () => {
    const { peer, channel } = await met(type)
    let to: string | undefined
    if (type === 'dgram') {
      peer.send({ op: 'send', size: 10 })
      to = (await channel.receive())?.from as string
      await peer.receive()
    }
    for (const size of SIZES) {
      for (const count of [0, 1, 252]) {
        await withFiles(count, fds => channel.send(text(size), { fds, to }))
        const got = await peer.request({ op: 'recv' })
        expect(got).toMatchObject({
          size,
          sha: shaOf(text(size)),
          words: words(count),
          cut: false,
          carried: size > LARGEST,
        })
        if (size <= LARGEST) continue
        // Seal, shrink, grow, write.
        expect(got).toMatchObject({ seals: 15, name: '/memfd:jsoncomm/payload (deleted)' })
      }
    }
  })

  it('have no room for 253 descriptors, which is an error at the call', async () => {
    const [a, b] = pair({ protocol: 'jsoncomm', type, memfd: true }).map(track) as [
      Channel,
      Channel,
    ]
    await withFd(fd => {
      const fds = Array(253).fill(fd)
      const refused = expect.objectContaining({ code: 'ERR_FDWIRE_TOO_MANY_FDS', fault: 'caller' })
      expect(() => a.send(text(MIB), { fds })).toThrow(refused)
      expect(a.send('small', { fds })).toBe(true)
    })
    const message = await b.receive()
    expect([message?.value, message?.fds.length]).toEqual(['small', 253])
    message?.fds.close()
  })

  it('keep their order and their descriptors in a queue, and count there with their bytes', async () => {
    const options = { protocol: 'jsoncomm', type, memfd: true } as const
    const [a, b] = pair({ ...options, maxQueued: 8 * MIB }).map(track) as [Channel, Channel]
    const sent: [number, number][] = []
    await withFiles(3, fds => {
      const send = (size: number, count: number) => {
        sent.push([size, count])
        return a.send(text(size), { fds: fds.slice(0, count) })
      }
      while (send(50_000, sent.length % 3));
      for (let i = 0; i < 6; i++) send(i % 2 === 0 ? MIB : 100, i % 4)
      expect(a.stats.queuedBytes).toBeGreaterThan(3 * MIB)
      // What the kernel will never take as it is has a file from the beginning.
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

  it('of which a peer that never reads gets no more than maxQueued, and then send gives false', async () => {
    const options = { protocol: 'jsoncomm', type, memfd: true, maxQueued: 8 * MIB } as const
    const [a, b] = pair(options).map(track) as [Channel, Channel]
    const piece = text(MIB)
    let sent = 1
    while (a.send(piece)) sent++
    expect(sent).toBeLessThanOrEqual(9)
    // More than that waits here, to the same limit.
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

  it('are malformed in anything but a file in memory, and the next message arrives', async () => {
    const { peer, channel } = await met(type)
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
    const told: string[] = []
    channel.on('malformed', error => told.push((error as NodeJS.ErrnoException).code as string))
    for (const kind of Object.keys(kinds)) {
      await peer.request({ op: 'hostile', kind, words: kind === 'nothing' ? [] : words(2) })
    }
    peer.send({ op: 'send', size: 100, words: words(1) })
    const message = await channel.receive()
    expect([message?.value.length, wordsOf(message?.fds as FdSet)]).toEqual([98, words(1)])
    message?.fds.close()
    expect(told).toEqual(Object.values(kinds))
    await peer.receive()
    expect(await peer.request({ op: 'fds' })).toEqual(before)
  })

  it('are read from where the offset is, which stays there', async () => {
    const { peer, channel } = await met(type)
    peer.send({ op: 'middle' })
    expect((await channel.receive())?.value).toBe('but this')
    expect(await peer.receive()).toEqual({ offset: 8 })
  })

  it('are bounded by maxMessage and maxFds, and refused whole', async () => {
    const { peer, channel } = await met(type, { maxMessage: MIB, maxFds: 1 })
    const told: string[] = []
    channel.on('malformed', error => told.push((error as NodeJS.ErrnoException).code as string))
    await peer.request({ op: 'send', size: MIB + 1, words: words(1), carried: true })
    await peer.request({ op: 'send', size: 100, words: words(2), carried: true })
    peer.send({ op: 'send', size: MIB, words: words(1), carried: true })
    const message = await channel.receive()
    expect([message?.value.length, message?.fds.length]).toEqual([MIB - 2, 1])
    message?.fds.close()
    expect(told).toEqual(['ERR_FDWIRE_MESSAGE_TOO_LARGE', 'ERR_FDWIRE_TOO_MANY_FDS'])
    await peer.receive()
  })

  it('with memfd: false are what they were before: EMSGSIZE, and no JSON', async () => {
    const { peer, channel } = await met(type, { memfd: false })
    const told: string[] = []
    channel.on('malformed', error => told.push((error as NodeJS.ErrnoException).code as string))
    await peer.request({ op: 'send', size: 100, words: words(1), carried: true })
    peer.send({ op: 'send', size: 100 })
    const from = (await channel.receive())?.from
    expect(told).toEqual(['ERR_FDWIRE_NOT_JSON'])
    expect(() => channel.send(text(MIB), type === 'dgram' ? { to: from as string } : {})).toThrow(
      expect.objectContaining({ code: 'EMSGSIZE' }),
    )
    await peer.receive()
  })
})

describe('createMemfd', () => {
  it('holds bytes or a text and is sealed, or has a size and is not', () => {
    for (const content of ['naïve', Buffer.from('naïve'), new Uint16Array([0x616e])]) {
      using set = createMemfd(content, { name: 'a name' })
      expect([set.length, set.kind(0)]).toEqual([1, 'memfd'])
      const bytes =
        typeof content === 'string'
          ? content
          : Buffer.from(
              content.buffer as ArrayBuffer,
              content.byteOffset,
              content.byteLength,
            ).toString()
      expect(readContents(set.get(0)).replaceAll('\0', '')).toBe(bytes)
      expect(() => sealMemfd(set.get(0))).toThrow(expect.objectContaining({ code: 'EPERM' }))
    }
    using set = createMemfd(5 * MIB)
    expect(mapMemfd(set.get(0)).length).toBe(5 * MIB)
    sealMemfd(set.get(0))
    using sealed = createMemfd(10, { seal: true })
    expect(() => sealMemfd({ fd: sealed.get(0) })).toThrow(
      expect.objectContaining({ code: 'EPERM' }),
    )
  })

  it('refuses what it can make no file of', () => {
    for (const wrong of [undefined, null, {}, true, 1n, [1]]) {
      expect(() => createMemfd(wrong as never)).toThrow(TypeError)
    }
    for (const wrong of [-1, 1.5, Number.NaN, 2 ** 60]) {
      expect(() => createMemfd(wrong)).toThrow(RangeError)
    }
    expect(() => createMemfd('\ud800')).toThrow(errorWithCode('ILL_FORMED_TEXT'))
    expect(() => createMemfd('', { name: 'x'.repeat(250) })).toThrow(RangeError)
    expect(() => createMemfd('', { name: 'a\0b' })).toThrow(RangeError)
    expect(() => createMemfd('', { nonsense: 1 } as never)).toThrow(TypeError)
  })
})

describe('mapMemfd', () => {
  /** Mappings of files with a name: each test has its own, since what it leaves is collected some day. */
  const maps = (name: string) =>
    readFileSync('/proc/self/maps', 'utf8')
      .split('\n')
      .filter(line => line.includes(`/memfd:${name} `)).length

  it('shares 64 MiB with another process by sending one descriptor, and copies nothing', async () => {
    const code = `
      import { adopt, mapMemfd } from 'fdwire'
      import { createHash } from 'node:crypto'
      import { readFileSync } from 'node:fs'
      const channel = adopt(3, { protocol: 'jsoncomm' })
      const { fds } = await channel.receive()
      const anonymous = () => Number(/Anonymous: +(\\d+) kB/.exec(readFileSync('/proc/self/smaps_rollup', 'utf8'))[1])
      const before = anonymous()
      const bytes = mapMemfd(fds.get(0))
      fds.close()
      const sha = createHash('sha256').update(bytes).digest('hex')
      await channel.request({ length: bytes.length, sha, grown: anonymous() - before })`
    const [ours, theirs] = pair({ protocol: 'jsoncomm' }).map(track) as [Channel, Channel]
    const child = new Peer(process.execPath, ['--input-type=module', '--eval', code], {
      cwd: testPath('..'),
      stdio: ['ignore', 'pipe', 'pipe', theirs.fd],
    })
    theirs.destroy()
    const bytes = Buffer.alloc(64 * MIB, 'what both can read')
    using set = createMemfd(bytes)
    ours.send('here', { fds: set })
    const answer = (await ours.receive())?.value as { grown: number }
    expect(answer).toMatchObject({
      length: bytes.length,
      sha: createHash('sha256').update(bytes).digest('hex'),
    })
    // kB; a copy would be 65,536.
    expect(answer.grown).toBeLessThan(16_384)
    await child.stop()
  })

  it('is a file that nobody can change, or a copy of it; what is written stays here', () => {
    using set = createMemfd(Buffer.alloc(65_536, 'shared'), { name: 'mapped' })
    const [one, other] = [mapMemfd(set.get(0)), mapMemfd(set.get(0))]
    expect(maps('mapped')).toBe(2)
    one.write('mine..')
    const beginnings = [one, other].map(bytes => bytes.toString('utf8', 0, 6))
    expect([...beginnings, readContents(set.get(0)).slice(0, 6)]).toEqual([
      'mine..',
      'shared',
      'shared',
    ])
    using open = createMemfd(100, { name: 'mapped' })
    const copy = mapMemfd(open.get(0))
    expect([copy.length, maps('mapped')]).toEqual([100, 2])
    using small = createMemfd(Buffer.alloc(65_535, 'small'), { name: 'mapped' })
    expect([mapMemfd(small.get(0)).length, maps('mapped')]).toEqual([65_535, 2])
    // Both have lived until here.
    expect([one.length, other.length]).toEqual([65_536, 65_536])
  })

  it('lives on when the descriptor is closed, and goes when it is collected', async () => {
    const make = () => {
      using set = createMemfd(Buffer.alloc(MIB, 'x'), { name: 'collected' })
      return mapMemfd(set.get(0))
    }
    const before = maps('collected')
    expect(make()[MIB - 1]).toBe(120)
    await waitUntil(() => {
      globalThis.gc?.()
      return maps('collected') <= before
    })
  })

  it('goes with its worker thread', async () => {
    const before = maps('worker')
    const code = `import { createMemfd, mapMemfd } from 'fdwire'
      import { parentPort } from 'node:worker_threads'
      const set = createMemfd(Buffer.alloc(65536), { name: 'worker' })
      globalThis.kept = mapMemfd(set.get(0))
      set.close()
      parentPort.postMessage(kept.length)
      setInterval(() => {}, 1000)`
    const worker = new Worker(
      new URL(
        `data:text/javascript,${encodeURIComponent(code.replace("'fdwire'", `'${new URL('../../dist/index.js', import.meta.url)}'`))}`,
      ),
    )
    await once(worker, 'message')
    expect(maps('worker')).toBe(before + 1)
    await worker.terminate()
    await waitUntil(() => maps('worker') === before)
  })

  it('copies where there are many already, so that the process does not run out of mappings', async () => {
    using set = createMemfd(Buffer.alloc(65_536, 'x'), { name: 'many' })
    const kept = Array.from({ length: 4_200 }, () => mapMemfd(set.get(0)))
    expect(maps('many')).toBeLessThanOrEqual(4_096)
    expect(kept.splice(0).every(bytes => bytes[65_535] === 120)).toBe(true)
    await waitUntil(() => {
      globalThis.gc?.()
      return maps('many') < 10
    })
  })

  it('says what is no file in memory', async () => {
    const kind = expect.objectContaining({ code: 'ERR_FDWIRE_FD_KIND' })
    for (const path of ['/dev/null', '/etc/passwd', '/']) {
      await withFd(fd => expect(() => mapMemfd(fd)).toThrow(kind), path)
      await withFd(fd => expect(() => sealMemfd(fd)).toThrow(kind), path)
    }
    expect(() => mapMemfd(closedFd())).toThrow(expect.objectContaining({ code: 'EBADF' }))
    for (const wrong of [undefined, null, 'x', {}, -1]) {
      expect(() => mapMemfd(wrong as never)).toThrow(/fd/)
    }
    using empty = createMemfd('')
    expect(mapMemfd(empty.get(0))).toEqual(Buffer.alloc(0))
  })
})

/** The number of a descriptor that is not open. */
function closedFd(): number {
  const set = FdSet.from([openSync('/dev/null', 'r')])
  const number = set.get(0)
  set.close()
  return number
}
