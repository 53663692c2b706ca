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

describe('FdSet.from', () => {
  it('takes ownership: close() closes each descriptor once', () => {
    const numbers = [open(), open()]
    const fds = FdSet.from(numbers)
    expect(fds.length).toBe(2)
    fds.close()
    expect(numbers.map(isOpen)).toEqual([false, false])
    // Takes the number of a descriptor that the set has closed.
    const reused = open()
    fds.close()
    expect(isOpen(reused)).toBe(true)
    closeSync(reused)
  })

  it('takes no descriptor if one of them is closed', () => {
    const [kept, closed] = [open(), open()]
    closeSync(closed)
    expect(() => FdSet.from([kept, closed])).toThrow(expect.objectContaining({ code: 'EBADF' }))
    closeSync(kept)
  })

  it('takes no descriptor if one is invalid or a duplicate', () => {
    const fd = open()
    for (const wrong of ['3', null, undefined, {}, 3n]) {
      expect(() => FdSet.from([fd, wrong as never])).toThrow(TypeError)
    }
    for (const wrong of [-1, 1.5, Number.NaN, 2 ** 31, fd]) {
      expect(() => FdSet.from([fd, wrong])).toThrow(RangeError)
    }
    expect(() => FdSet.from(null as never)).toThrow(TypeError)
    expect(() => FdSet.from(fd as never)).toThrow(TypeError)
    expect(() => FdSet.from({ 0: fd, length: 1 } as never)).toThrow(
      'fds must be an array of descriptor numbers, not an object',
    )
    closeSync(fd)
  })

  it('rejects another FdSet', () => {
    using fds = FdSet.from([open()])
    expect(() => FdSet.from(fds)).toThrow(TypeError)
  })

  it('is the only way to create a set: the constructor throws', () => {
    expect(() => new (FdSet as never as new (fds: number[]) => FdSet)([0])).toThrow(TypeError)
  })
})

describe('FdSet', () => {
  it('returns a number from get() any number of times, and from take() once', () => {
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

  it('closes a descriptor that get() has returned', () => {
    const fd = open()
    const fds = FdSet.from([fd])
    fds.get(0)
    fds.close()
    expect(isOpen(fd)).toBe(false)
  })

  it('keeps its length and indices after take()', () => {
    const numbers = [open(), open(), open()]
    using fds = FdSet.from(numbers)
    closeSync(fds.take(1))
    expect(fds.length).toBe(3)
    expect(fds.get(2)).toBe(numbers[2])
  })

  it('is empty after close()', () => {
    const fds = FdSet.from([open()])
    fds.close()
    expect(fds.length).toBe(0)
    expect([...fds]).toEqual([])
    expect(() => fds.get(0)).toThrow(GONE)
  })

  it('counts a negative index from the end', () => {
    const numbers = [open(), open()]
    using fds = FdSet.from(numbers)
    expect([fds.get(-1), fds.get(-2)]).toEqual([numbers[1], numbers[0]])
    expect(() => fds.get(-3)).toThrow(RangeError)
    closeSync(fds.take(-1))
    expect(() => fds.get(1)).toThrow(GONE)
  })

  it('throws for an index out of range or of the wrong type', () => {
    using fds = FdSet.from([open()])
    expect(() => fds.get(1)).toThrow(RangeError)
    for (const wrong of [0.5, Number.NaN, '0', undefined]) {
      expect(() => fds.get(wrong as number)).toThrow(TypeError)
    }
  })

  it('throws EBADF from close() for a number closed elsewhere, and closes the others', () => {
    const fds = FdSet.from([open(), open()])
    closeSync(fds.get(0))
    const other = fds.get(1)
    expect(() => fds.close()).toThrow(expect.objectContaining({ code: 'EBADF', syscall: 'close' }))
    expect(isOpen(other)).toBe(false)
    fds.close()
  })

  it('has the aliases fromList and steal of jsoncomm', () => {
    const fd = open()
    const fds = FdSet.fromList([fd])
    expect(fds.steal(0)).toBe(fd)
    closeSync(fd)
  })
})

describe('the iterator of an FdSet', () => {
  it('yields the remaining descriptors in order, without taking them', () => {
    const numbers = [open(), open(), open()]
    using fds = FdSet.from(numbers)
    expect([...fds]).toEqual(numbers)
    closeSync(fds.take(1))
    expect([...fds]).toEqual([numbers[0], numbers[2]])
  })

  it('ends when the set is closed during the iteration', () => {
    const fds = FdSet.from([open(), open()])
    let seen = 0
    for (const _ of fds) {
      seen++
      fds.close()
    }
    expect(seen).toBe(1)
  })
})

describe('a using declaration', () => {
  it('closes the set at the end of the block', () => {
    const fd = open()
    {
      using fds = FdSet.from([fd])
      expect(fds.length).toBe(1)
    }
    expect(isOpen(fd)).toBe(false)
  })
})

describe('FdSet.kind', () => {
  it('returns the type of a descriptor', () => {
    const paths = [fileURLToPath(import.meta.url), '/', '/dev/null']
    using fds = FdSet.from(paths.map(path => openSync(path, 'r')))
    expect([0, 1, 2].map(i => fds.kind(i))).toEqual(['file', 'directory', 'chardev'])
    expect(fds.kind(-1)).toBe('chardev')
  })
})

describe('the FdSet of a message', () => {
  it('is one shared, frozen, empty set if the message has no descriptors', async () => {
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

  it('counts in stats.openFds until it is closed, also after its channel is closed', async () => {
    const [a, b] = pair({ protocol: 'jsoncomm' })
    const fd = open()
    for (let i = 0; i < 3; i++) a.send(1, { fds: [fd, fd, fd] })
    closeSync(fd)
    const message = await b.receive()
    const fds = message?.fds as FdSet
    // close() also closes the descriptors of the two unread messages.
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

  it('remains open after its channel is closed', async () => {
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

describe('garbage collection of an FdSet', () => {
  const child = fileURLToPath(new URL('../support/children/fdset-collected.mjs', import.meta.url))
  const run = async (name: string) => {
    const { stdout } = await promisify(execFile)(process.execPath, ['--expose-gc', child, name])
    return JSON.parse(stdout)
  }

  it('closes descriptors whose number was never returned, leaves the others open, and warns once', async () => {
    const { open, warnings } = await run('not-closed')
    expect(open).toEqual({ untouched: false, lent: true, taken: true, iterated: true })
    expect(warnings).toHaveLength(1)
    expect(warnings[0].code).toBe('FDWIRE_FDSET_COLLECTED')
    expect(warnings[0].message).toMatch(/1 closed now, 2 left open/)
    expect(warnings[0].detail).toMatch(/docs\//)
  })

  it('does nothing for a set that was closed or emptied', async () => {
    expect(await run('closed')).toEqual({ open: { unrelated: true }, warnings: [] })
  })

  it('closes the descriptors of a set that was sent', async () => {
    const { open, warnings } = await run('sent')
    expect(open).toEqual({ sent: false })
    expect(warnings).toHaveLength(1)
  })

  it('leaves a reachable set open', async () => {
    expect(await run('held')).toEqual({ open: { held: true }, warnings: [] })
  })
})
