import { closeSync } from 'node:fs'
import { FdSet } from '../../fds/fdset.js'
import { environment } from '../../native/environment.js'
import { isDescriptor } from '../../util/descriptor.js'

/** What is closed by itself: a FileHandle. */
interface Closable {
  readonly fd: number
  close(): unknown
}

/** The descriptors of a reply: an `FdSet`, or an iterable of numbers and FileHandles. */
export type ServiceFds = FdSet | Iterable<number | Closable>

/** Descriptors that go with a reply, and are closed when that is sent, or can't be. */
export class ReplyFds {
  #fds: FdSet | (number | Closable)[] = []

  /** What `send` takes. */
  get sources(): FdSet | (number | Closable)[] {
    return this.#fds
  }

  /**
   * Takes over what a dispatch has returned; undefined and null are none.
   *
   * # Errors
   * TypeError for what is none of these; those of the list that are, are closed all the same.
   */
  take(fds: unknown): void {
    if (fds === undefined || fds === null) return
    if (fds instanceof FdSet) {
      this.#fds = fds
      return
    }
    if (typeof fds !== 'object' || !(Symbol.iterator in fds)) {
      throw new TypeError('The fds of a reply are an FdSet or an array of descriptors')
    }
    const all = [...(fds as Iterable<unknown>)]
    const ours = all.filter(isOurs)
    this.#fds = ours
    if (ours.length === all.length) return
    throw new TypeError(
      'The fds of a reply are numbers and FileHandles, which are closed when it is sent',
    )
  }

  /** Closes them, all but those that somebody else owns. */
  async close(): Promise<void> {
    const fds = this.#fds
    this.#fds = []
    if (fds instanceof FdSet) closeSet(fds)
    else await Promise.all(Array.from(new Set(fds), closeOne))
  }
}

/** Closes a set, whatever was done to its numbers behind its back. */
export function closeSet(fds: FdSet): void {
  try {
    fds.close()
  } catch {
    // All of it is closed; a number that was only lent is not open any more.
  }
}

function isOurs(fd: unknown): fd is number | Closable {
  if (typeof fd === 'number') return true
  const { fd: number, close } = (fd ?? {}) as Partial<Closable>
  // A net.Socket or a server has a descriptor too, but no number of it that is its own to close.
  return typeof number === 'number' && typeof close === 'function'
}

async function closeOne(fd: number | Closable): Promise<void> {
  try {
    if (typeof fd !== 'number') await fd.close()
    // Lent by a set or a channel, which close it themselves; and stdio is the whole process's.
    else if (isDescriptor(fd) && fd > 2 && environment.ownerOf(fd) === '') closeSync(fd)
  } catch {
    // That it is not open has been told by sending it.
  }
}
