import { FdSet } from '../../fds/fdset.js'
import { type Closable, releaseFds } from '../../fds/release.js'
import { describeValue } from '../../util/checks.js'

/** The descriptors of a reply: an `FdSet`, or an iterable of numbers and FileHandles. */
export type ServiceFds = FdSet | Iterable<number | Closable>

/** Owns the descriptors of a reply, until the reply was sent or could not be sent. */
export class ReplyFds {
  #fds: FdSet | (number | Closable)[] = []

  /** The descriptors, in a form that `send` accepts. */
  get sources(): FdSet | (number | Closable)[] {
    return this.#fds
  }

  /**
   * Takes ownership of the descriptors that `dispatch` has returned; none for undefined and null.
   *
   * # Errors
   * TypeError for any other value. It still takes the valid elements of an invalid iterable, so
   * that `close` closes them.
   */
  take(fds: unknown): void {
    if (fds === undefined || fds === null) return
    if (fds instanceof FdSet) {
      this.#fds = fds
      return
    }
    if (typeof fds !== 'object' || !(Symbol.iterator in fds)) {
      throw new TypeError(
        `The fds of a reply must be an FdSet or an iterable of descriptors, not ${describeValue(fds)}`,
      )
    }
    const all = [...(fds as Iterable<unknown>)]
    const valid = all.filter(isClosable)
    this.#fds = valid
    if (valid.length === all.length) return
    throw new TypeError(
      'The fds of a reply must be numbers and FileHandles, which are closed after it was sent',
    )
  }

  /** Closes the descriptors, except numbers that an FdSet or a channel owns, and stdio. */
  async close(): Promise<void> {
    const fds = this.#fds
    this.#fds = []
    await releaseFds(fds, hasClose)
  }
}

function isClosable(fd: unknown): fd is number | Closable {
  return typeof fd === 'number' || hasClose(fd)
}

function hasClose(source: unknown): source is Closable {
  const { fd, close } = (source ?? {}) as Partial<Closable>
  // A net.Socket or net.Server has a handle with a descriptor, but no `fd` of its own to close.
  return typeof fd === 'number' && typeof close === 'function'
}
