import { execFile } from 'node:child_process'
import { closeSync, fstatSync, openSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { FdSet, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'

const open = () => openSync('/dev/null', 'r')
const isOpen = (fd: number) => {
  try {
    fstatSync(fd)
    return true
  } catch {
    return false
  }
}
const GONE = expect.objectContaining({ code: 'ERR_FDWIRE_FD_GONE', fault: 'caller' })

describe('a set made from numbers', () => {
  it('owns them: closing it closes them, once', () => {
    const numbers = [open(), open()]
    const fds = FdSet.from(numbers)
    expect(fds.length).toBe(2)
    fds.close()
    expect(numbers.map(isOpen)).toEqual([false, false])
    const reused = open()
    fds.close()
    expect(isOpen(reused)).toBe(true)
    closeSync(reused)
  })

  it('takes none when one of them is closed', () => {
    const [kept, closed] = [open(), open()]
    closeSync(closed)
    expect(() => FdSet.from([kept, closed])).toThrow(expect.objectContaining({ code: 'EBADF' }))
    closeSync(kept)
  })

  it('takes none when one of them is no number of a descriptor, or is there twice', () => {
    const fd = open()
    for (const wrong of ['3', null, undefined, {}, 3n]) {
      expect(() => FdSet.from([fd, wrong as never])).toThrow(TypeError)
    }
    for (const wrong of [-1, 1.5, Number.NaN, 2 ** 31, fd]) {
      expect(() => FdSet.from([fd, wrong])).toThrow(RangeError)
    }
    expect(() => FdSet.from(null as never)).toThrow(TypeError)
    expect(() => FdSet.from(fd as never)).toThrow(TypeError)
    closeSync(fd)
  })

  it('does not take over those of another set', () => {
    using fds = FdSet.from([open()])
    expect(() => FdSet.from(fds)).toThrow(TypeError)
  })

  it('cannot be made by new', () => {
    expect(() => new (FdSet as never as new (fds: number[]) => FdSet)([0])).toThrow(TypeError)
  })
})

describe('get, take and close', () => {
  it('lend a number as often as asked, and give it away once', () => {
    const fd = open()
    const fds = FdSet.from([fd])
    expect([fds.get(0), fds.get(0), fds.take(0)]).toEqual([fd, fd, fd])
    expect(() => fds.get(0)).toThrow(GONE)
    expect(() => fds.take(0)).toThrow(GONE)
    expect(() => fds.kind(0)).toThrow(GONE)
    fds.close()
    expect(isOpen(fd)).toBe(true)
    closeSync(fd)
  })

  it('close what was only lent', () => {
    const fd = open()
    const fds = FdSet.from([fd])
    fds.get(0)
    fds.close()
    expect(isOpen(fd)).toBe(false)
  })

  it('leave length and indices alone when an entry is taken', () => {
    const numbers = [open(), open(), open()]
    using fds = FdSet.from(numbers)
    closeSync(fds.take(1))
    expect(fds.length).toBe(3)
    expect(fds.get(2)).toBe(numbers[2])
  })

  it('leave an empty set behind a close', () => {
    const fds = FdSet.from([open()])
    fds.close()
    expect(fds.length).toBe(0)
    expect([...fds]).toEqual([])
    expect(() => fds.get(0)).toThrow(GONE)
  })

  it('count a negative index from the end', () => {
    const numbers = [open(), open()]
    using fds = FdSet.from(numbers)
    expect([fds.get(-1), fds.get(-2)]).toEqual([numbers[1], numbers[0]])
    expect(() => fds.get(-3)).toThrow(RangeError)
    closeSync(fds.take(-1))
    expect(() => fds.get(1)).toThrow(GONE)
  })

  it('refuse an index that the set never had', () => {
    using fds = FdSet.from([open()])
    expect(() => fds.get(1)).toThrow(RangeError)
    for (const wrong of [0.5, Number.NaN, '0', undefined]) {
      expect(() => fds.get(wrong as number)).toThrow(TypeError)
    }
  })

  it('report a number that somebody else closed, and close the others all the same', () => {
    const fds = FdSet.from([open(), open()])
    closeSync(fds.get(0))
    const other = fds.get(1)
    expect(() => fds.close()).toThrow(expect.objectContaining({ code: 'EBADF', syscall: 'close' }))
    expect(isOpen(other)).toBe(false)
    fds.close()
  })

  it('go by the names of jsoncomm, too', () => {
    const fd = open()
    const fds = FdSet.fromList([fd])
    expect(fds.steal(0)).toBe(fd)
    closeSync(fd)
  })
})

describe('iteration', () => {
  it('lends what is still there, in order', () => {
    const numbers = [open(), open(), open()]
    using fds = FdSet.from(numbers)
    expect([...fds]).toEqual(numbers)
    closeSync(fds.take(1))
    expect([...fds]).toEqual([numbers[0], numbers[2]])
  })

  it('ends when the set is closed meanwhile', () => {
    const fds = FdSet.from([open(), open()])
    let seen = 0
    for (const _ of fds) {
      seen++
      fds.close()
    }
    expect(seen).toBe(1)
  })
})

describe('using', () => {
  it('closes at the end of the block', () => {
    const fd = open()
    {
      using fds = FdSet.from([fd])
      expect(fds.length).toBe(1)
    }
    expect(isOpen(fd)).toBe(false)
  })
})

describe('kind', () => {
  it('says what a descriptor is, and lends nothing', () => {
    const paths = [fileURLToPath(import.meta.url), '/', '/dev/null']
    using fds = FdSet.from(paths.map(path => openSync(path, 'r')))
    expect([0, 1, 2].map(i => fds.kind(i))).toEqual(['file', 'directory', 'chardev'])
    expect(fds.kind(-1)).toBe('chardev')
  })
})

describe('the set of a message', () => {
  it('is one shared, frozen, empty set where there are no descriptors', async () => {
    const [a, b] = pair({ protocol: 'jsoncomm' })
    a.send(1)
    a.send(2)
    const first = await b.receive()
    const second = await b.receive()
    expect(first?.fds).toBe(second?.fds)
    expect(first?.fds).toBe(FdSet.from([]))
    expect(Object.isFrozen(first?.fds)).toBe(true)
    first?.fds.close()
    expect(second?.fds.length).toBe(0)
    expect(() => second?.fds.get(0)).toThrow(RangeError)
    await Promise.all([a.close(), b.close()])
  })

  it('is counted by its channel until it is closed, also behind the close of that', async () => {
    const [a, b] = pair({ protocol: 'jsoncomm' })
    const fd = open()
    for (let i = 0; i < 3; i++) a.send(1, { fds: [fd, fd, fd] })
    closeSync(fd)
    const message = await b.receive()
    const fds = message?.fds as FdSet
    // What nobody has got yet is closed with the channel.
    expect([b.stats.unread, b.stats.openFds]).toEqual([2, 9])
    closeSync(fds.take(0))
    await b.close()
    expect(b.stats.openFds).toBe(2)
    closeSync(fds.take(1))
    expect(b.stats.openFds).toBe(1)
    fds.close()
    fds.close()
    expect(b.stats.openFds).toBe(0)
    await a.close()
  })

  it('outlives the channel it came by', async () => {
    const [a, b] = pair({ protocol: 'jsoncomm' })
    const fd = open()
    a.send(1, { fds: [fd, fd] })
    closeSync(fd)
    const message = await b.receive()
    await Promise.all([a.close(), b.close()])
    const fds = message?.fds as FdSet
    const taken = fds.take(0)
    const lent = fds.get(1)
    fds.close()
    expect([isOpen(taken), isOpen(lent)]).toEqual([true, false])
    closeSync(taken)
  })
})

describe('collection', () => {
  const child = fileURLToPath(new URL('../support/children/fdset-collected.mjs', import.meta.url))
  const run = async (what: string) => {
    const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', child, what])
    return JSON.parse(stdout)
  }

  it('closes what nobody has the number of, leaves what was lent, and says so once', async () => {
    const { open, warnings } = await run('not-closed')
    expect(open).toEqual({ untouched: false, lent: true, taken: true, iterated: true })
    expect(warnings).toHaveLength(1)
    expect(warnings[0].code).toBe('FDWIRE_FDSET_COLLECTED')
    expect(warnings[0].message).toMatch(/1 closed now, 2 left open/)
    expect(warnings[0].detail).toMatch(/docs\//)
  })

  it('has nothing to do or say where sets were closed, emptied or sent on', async () => {
    expect(await run('closed')).toEqual({ open: { unrelated: true }, warnings: [] })
  })

  it('does not count it as lending when a set is sent on', async () => {
    const { open, warnings } = await run('sent')
    expect(open).toEqual({ sent: false })
    expect(warnings).toHaveLength(1)
  })

  it('keeps a set that somebody still holds', async () => {
    expect(await run('held')).toEqual({ open: { held: true }, warnings: [] })
  })
})
