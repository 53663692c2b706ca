/** Who owns a descriptor in this thread: this copy of the package, or another one. */

import { environment } from './environment.js'

/** What owns a descriptor and closes it. */
export interface Owner {
  kind: 'FdSet' | 'channel'
  /** Whether another copy of the package has it. */
  isForeign: boolean
}

type OwnerOf = (fd: number) => unknown

/**
 * The copies of the package in this thread. A program has several if its dependencies need different
 * versions, or if a bundle contains one. Each knows only what it owns itself.
 */
interface Copies {
  /** Adds the function that tells what a copy owns: `'FdSet'`, `'channel'`, or null. */
  join(ownerOf: OwnerOf): void
  /** Asks all copies in turn. */
  ownerOf(fd: number): unknown
}

/** The property of `process`. Copies with another version of `Copies` use another number. */
const KEY = Symbol.for('fdwire.copies.1')

const copies = sharedCopies()
copies?.join(fd => environment.ownerOf(fd))

/** Returns what owns a descriptor in this thread; undefined if nothing does. */
export function findOwner(fd: number): Owner | undefined {
  const kind = environment.ownerOf(fd)
  if (kind !== null) return { kind, isForeign: false }
  const foreign = copies?.ownerOf(fd)
  // Other code of the process may have put anything there.
  if (foreign !== 'FdSet' && foreign !== 'channel') return undefined
  return { kind: foreign, isForeign: true }
}

/** Returns the copies; undefined if other code has taken the property or closed `process`. */
function sharedCopies(): Copies | undefined {
  const holder = process as unknown as Record<symbol, Copies | undefined>
  try {
    if (holder[KEY] === undefined) Object.defineProperty(process, KEY, { value: createCopies() })
    const { join, ownerOf } = holder[KEY] as Copies
    if (typeof join === 'function' && typeof ownerOf === 'function') return { join, ownerOf }
  } catch {
    // Then each copy knows only itself.
  }
  return undefined
}

/** Creates an object that later code cannot change. */
function createCopies(): Copies {
  const members: OwnerOf[] = []
  let count = 0
  return Object.freeze({
    join(ownerOf: OwnerOf) {
      Object.defineProperty(members, count++, { value: ownerOf })
    },
    ownerOf(fd: number) {
      for (let i = 0; i < count; i++) {
        try {
          const owner = (members[i] as OwnerOf)(fd)
          if (owner !== null) return owner
        } catch {
          // A copy whose environment has ended owns nothing.
        }
      }
      return null
    },
  })
}
