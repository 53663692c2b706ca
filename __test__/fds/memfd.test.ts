import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { openSync, readFileSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { type Channel, createMemfd, FdSet, mapMemfd, pair, sealMemfd } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, errorWithCode, track, withFd } from '../support/channels.js'
import { cleanUpAfterEach, Peer, readContents, testPath } from '../support/processes.js'
import { waitUntil } from '../support/streams.js'

cleanUpAfterEach()
destroyChannelsAfterEach()

const MIB = 1024 * 1024

describe('createMemfd', () => {
  it('creates a sealed memfd from bytes or a text, and an unsealed one from a size', () => {
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

  it('throws for an invalid content, size, name or option', () => {
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
  /**
   * Counts the mappings of memfds with this name.
   *
   * Each test uses its own name, because garbage collection removes its mappings at any time.
   */
  const countMappings = (name: string) =>
    readFileSync('/proc/self/maps', 'utf8')
      .split('\n')
      .filter(line => line.includes(`/memfd:${name} `)).length

  it('shares 64 MiB with another process without a copy', async () => {
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
    const bytes = Buffer.alloc(64 * MIB, 'shared content')
    using set = createMemfd(bytes)
    ours.send('memfd', { fds: set })
    const result = (await ours.receive())?.value as { grown: number }
    expect(result).toMatchObject({
      length: bytes.length,
      sha: createHash('sha256').update(bytes).digest('hex'),
    })
    // In kB. A copy would take 65,536.
    expect(result.grown).toBeLessThan(16_384)
    await child.stop()
  })

  it('maps a sealed memfd privately, and copies an unsealed or small one', () => {
    using set = createMemfd(Buffer.alloc(65_536, 'shared'), { name: 'mapped' })
    const [one, other] = [mapMemfd(set.get(0)), mapMemfd(set.get(0))]
    expect(countMappings('mapped')).toBe(2)
    one.write('local.')
    const starts = [one, other].map(bytes => bytes.toString('utf8', 0, 6))
    expect([...starts, readContents(set.get(0)).slice(0, 6)]).toEqual([
      'local.',
      'shared',
      'shared',
    ])
    using unsealed = createMemfd(100, { name: 'mapped' })
    const copy = mapMemfd(unsealed.get(0))
    expect([copy.length, countMappings('mapped')]).toEqual([100, 2])
    using small = createMemfd(Buffer.alloc(65_535, 'small'), { name: 'mapped' })
    expect([mapMemfd(small.get(0)).length, countMappings('mapped')]).toEqual([65_535, 2])
    // Keeps both buffers reachable up to here.
    expect([one.length, other.length]).toEqual([65_536, 65_536])
  })

  it('stays valid after the descriptor is closed, and is unmapped when it is collected', async () => {
    const mapAndClose = () => {
      using set = createMemfd(Buffer.alloc(MIB, 'x'), { name: 'collected' })
      return mapMemfd(set.get(0))
    }
    const before = countMappings('collected')
    expect(mapAndClose()[MIB - 1]).toBe(120)
    await waitUntil(() => {
      globalThis.gc?.()
      return countMappings('collected') <= before
    })
  })

  it('copies in a worker thread, so that memory which it has moved stays valid', async () => {
    const before = countMappings('worker')
    const code = `import { createMemfd, mapMemfd } from 'fdwire'
      import { parentPort } from 'node:worker_threads'
      const set = createMemfd(Buffer.alloc(65536, 'x'), { name: 'worker' })
      globalThis.copied = mapMemfd(set.get(0))
      set.close()
      parentPort.postMessage(copied.toString())
      setInterval(() => {}, 1000)`
    const worker = new Worker(
      new URL(
        `data:text/javascript,${encodeURIComponent(code.replace("'fdwire'", `'${new URL('../../dist/index.js', import.meta.url)}'`))}`,
      ),
    )
    const [bytes] = await once(worker, 'message')
    expect([bytes, countMappings('worker')]).toEqual(['x'.repeat(65_536), before])
    await worker.terminate()
  })

  it('copies once 4,096 mappings exist, so that the process does not run out of mappings', async () => {
    using set = createMemfd(Buffer.alloc(65_536, 'x'), { name: 'many' })
    const buffers = Array.from({ length: 4_200 }, () => mapMemfd(set.get(0)))
    expect(countMappings('many')).toBeLessThanOrEqual(4_096)
    expect(buffers.splice(0).every(bytes => bytes[65_535] === 120)).toBe(true)
    await waitUntil(() => {
      globalThis.gc?.()
      return countMappings('many') < 10
    })
  })

  it('throws for a descriptor that is not a memfd, as sealMemfd does', async () => {
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

/** Returns the number of a closed descriptor. */
function closedFd(): number {
  const set = FdSet.from([openSync('/dev/null', 'r')])
  const number = set.get(0)
  set.close()
  return number
}
