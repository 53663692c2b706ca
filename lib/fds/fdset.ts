import type { Socket as DgramSocket } from 'node:dgram'
import type { Server, Socket } from 'node:net'
import type { Readable, Writable } from 'node:stream'
import { native } from '../native/environment.js'
import { type ChannelHandle, NO_CHANNEL } from '../native/handle.js'
import { isDescriptor, type Kind } from '../util/descriptor.js'
import { FdwireError, systemError } from '../util/errors.js'
import { type Remains, watch } from './collected.js'
import { type Entries, GONE, isOpen, lent, numberOf } from './entries.js'
import {
  type DatagramOptions,
  type Offer,
  type ServerOptions,
  type SocketOptions,
  toDatagram,
  toServer,
  toSocket,
} from './to-node.js'
import {
  type ReadStreamOptions,
  toReadStream,
  toWriteStream,
  type WriteStreamOptions,
} from './to-node-streams.js'

const CLOSED: Entries = []
const INTERNAL = Symbol('fdwire internal')

/** What a set still has to close, or undefined when that is nothing. */
let remains: (set: FdSet) => Remains | undefined

/** @internal The numbers of a whole set for a message that goes out; borrowing is not lending. */
export let borrow: (set: FdSet, out: Int32Array) => number

/**
 * The descriptors of a received message, owned by this object until they are taken or closed.
 *
 * Close it when you are done (`fds.close()`, or `using`), or take what you keep. A set that is
 * collected with descriptors in it closes those whose number it never gave out, leaves the others
 * open since they may be in use, and warns once (`FDWIRE_FDSET_COLLECTED`).
 *
 * An index counts from 0; a negative one counts from the end, as in `Array.prototype.at`. Indices
 * and `length` stay as they are when an entry is taken.
 *
 * Iterating lends the numbers of the entries that are still there, in order.
 *
 * ```js
 * channel.on('message', (value, fds) => {
 *   const file = fds.toReadStream(0) // Node's from now on
 *   const kept = fds.take(1)         // yours from now on
 *   fds.close()                      // and the rest is closed
 * })
 * ```
 */
export class FdSet implements Iterable<number> {
  #entries: Entries
  readonly #handle: ChannelHandle

  /** @internal Sets come with messages; your own are made by {@link FdSet.from}. */
  constructor(internal: symbol, entries: number[], handle: ChannelHandle) {
    if (internal !== INTERNAL) throw new TypeError('An FdSet is made by FdSet.from(fds)')
    this.#entries = entries
    this.#handle = handle
  }

  /**
   * Makes a set that owns the descriptors with these numbers: they are now the set's to close.
   *
   * # Errors
   * TypeError or RangeError for what is no descriptor's number or is there twice, EBADF for one
   * that is not open, EBUSY for one that a set or channel owns already; then nothing is taken.
   */
  static from(fds: Iterable<number>): FdSet {
    if (fds instanceof FdSet) throw new TypeError('These descriptors have an FdSet already')
    if (fds === null || typeof fds !== 'object') {
      throw new TypeError('fds must be an array of descriptor numbers')
    }
    const numbers = [...fds]
    numbers.forEach(checkNumber)
    for (const fd of numbers) native.kindOf(fd)
    numbers.forEach((fd, at) => {
      try {
        native.ownFd(fd)
      } catch (error) {
        for (const taken of numbers.slice(0, at)) NO_CHANNEL.takeFd(taken)
        throw error
      }
    })
    return adoptReceived(numbers, NO_CHANNEL)
  }

  /** The name that jsoncomm gives to {@link FdSet.from}. */
  static fromList(fds: Iterable<number>): FdSet {
    return FdSet.from(fds)
  }

  /** How many entries the set has, taken ones among them; 0 once it is closed. */
  get length(): number {
    return this.#entries.length
  }

  /**
   * Lends the number of a descriptor: the set still owns it and will close it.
   *
   * # Errors
   * ERR_FDWIRE_FD_GONE when it was taken, handed over or closed; RangeError for an index that the
   * set never had.
   */
  get(index: number): number {
    const at = this.#locate(index)
    const fd = numberOf(this.#entries[at] as number)
    this.#entries[at] = lent(fd)
    return fd
  }

  /**
   * Gives a descriptor away: closing it is the caller's business from now on.
   *
   * # Errors
   * Those of {@link FdSet.get}.
   */
  take(index: number): number {
    const at = this.#locate(index)
    const fd = numberOf(this.#entries[at] as number)
    this.#give(at, fd)
    return fd
  }

  /** The name that jsoncomm gives to {@link FdSet.take}. */
  steal(index: number): number {
    return this.take(index)
  }

  /**
   * What a descriptor is, as `'file'`, `'pipe'` or `'tcp-listener'`.
   *
   * # Errors
   * Those of {@link FdSet.get}; EBADF when somebody closed the number behind the set's back.
   */
  kind(index: number): Kind {
    return native.kindOf(numberOf(this.#entries[this.#locate(index)] as number)) as Kind
  }

  /**
   * Hands a connected TCP or Unix stream socket to Node as a `net.Socket`.
   *
   * It is Node's from then on, which sets O_NONBLOCK on it: that belongs to the open file
   * description, so it changes for the sender and every other holder too.
   *
   * # Errors
   * ERR_FDWIRE_FD_KIND for anything else, and those of {@link FdSet.get}. When it throws, the set
   * still owns the descriptor; what fails later is the socket's `'error'`, and Node closes it.
   */
  toSocket(index: number, options?: SocketOptions): Socket {
    return toSocket(this.#offer(index), options)
  }

  /**
   * Hands a listening TCP or Unix socket to Node as a `net.Server`, or to the one in
   * `options.server` (an `http.Server`, say).
   *
   * The server accepts at once; `'listening'` follows in the next tick, and so does `'error'`,
   * after which the descriptor is closed. Node calls listen(2) again, with `backlog` (511), and
   * sets O_NONBLOCK: both are the open file description's, shared with every other holder.
   *
   * # Errors
   * Those of {@link FdSet.toSocket}; TypeError for a server that listens already.
   */
  toServer<S extends Server = Server>(
    index: number,
    options?: ServerOptions<S>,
    onConnection?: (socket: Socket) => void,
  ): S {
    return toServer(this.#offer(index), options, onConnection)
  }

  /**
   * Hands a UDP socket to Node as a `dgram.Socket` that is bound and receives.
   *
   * It is `udp4` or `udp6` as the descriptor is. Node sets O_NONBLOCK on the open file
   * description, which every holder shares. A Unix datagram socket is no business of Node's: take
   * it and `adopt()` it.
   *
   * # Errors
   * Those of {@link FdSet.toSocket}.
   */
  toDatagram(index: number, options?: DatagramOptions): DgramSocket {
    return toDatagram(this.#offer(index), options)
  }

  /**
   * Hands a descriptor to Node for reading, by its kind.
   *
   * A pipe, a connected TCP or Unix stream socket becomes a `net.Socket` (and O_NONBLOCK is set
   * for every holder), a terminal a `tty.ReadStream`. A file or memfd becomes an `fs.ReadStream`
   * that reads from `start` (bytes, 0) by position, so the offset it shares with other holders is
   * neither used nor moved. All close the descriptor at their end.
   *
   * # Errors
   * ERR_FDWIRE_FD_KIND for any other kind, ERR_FDWIRE_REMOTE_FILE for a file on FUSE or a network
   * file system, both unless `trust` is true: reading these can block for ever, and four blocked
   * reads stop the file system and dns of the whole process. And those of {@link FdSet.get}. When
   * it throws, the set still owns the descriptor.
   */
  toReadStream(index: number, options?: ReadStreamOptions): Readable {
    return toReadStream(this.#offer(index), options)
  }

  /**
   * Hands a descriptor to Node for writing, by its kind.
   *
   * As {@link FdSet.toReadStream}: a `net.Socket`, a `tty.WriteStream`, or an `fs.WriteStream`
   * that writes from `start` (bytes, 0) by position, except where the file was opened to append.
   * Ending it on a socket shuts the connection's one direction down for every holder.
   */
  toWriteStream(index: number, options?: WriteStreamOptions): Writable {
    return toWriteStream(this.#offer(index), options)
  }

  /**
   * Closes what was neither taken nor handed over; a second time it does nothing.
   *
   * # Errors
   * The kernel's, after all are closed: EBADF when somebody closed a number that was only lent.
   */
  close(): void {
    const entries = this.#entries
    if (entries.length === 0) return
    this.#entries = CLOSED
    let failed = 0
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i] as number
      if (entry === GONE) continue
      entries[i] = GONE
      const result = this.#handle.closeFd(numberOf(entry))
      if (result < 0 && failed === 0) failed = result
    }
    if (failed !== 0) throw systemError(failed, 'close')
  }

  /** The same as {@link FdSet.close}. */
  [Symbol.dispose](): void {
    this.close()
  }

  *[Symbol.iterator](): Generator<number, undefined> {
    for (let i = 0; i < this.#entries.length; i++) {
      if (this.#entries[i] !== GONE) yield this.get(i)
    }
    return undefined
  }

  #locate(index: number): number {
    if (!Number.isInteger(index)) throw new TypeError(`An index is an integer, not ${index}`)
    const { length } = this.#entries
    const at = index < 0 ? index + length : index
    if (at >= 0 && at < length) {
      if (this.#entries[at] !== GONE) return at
    } else if (this.#entries !== CLOSED) {
      throw new RangeError(`There is no descriptor ${index} among ${length}`)
    }
    throw gone(index)
  }

  #give(at: number, fd: number): void {
    this.#entries[at] = GONE
    this.#handle.takeFd(fd)
  }

  #offer(index: number): Offer {
    const at = this.#locate(index)
    const fd = numberOf(this.#entries[at] as number)
    const kind = native.kindOf(fd) as Kind
    return { fd, kind, index, claim: () => this.#give(at, fd) }
  }

  static {
    remains = set => {
      const entries = set.#entries
      return entries.some(isOpen) ? { entries, handle: set.#handle } : undefined
    }
    borrow = (set, out) => {
      const entries = set.#entries
      if (entries === CLOSED) throw new FdwireError('ERR_FDWIRE_FD_GONE', 'The FdSet is closed')
      for (let i = 0; i < entries.length; i++) {
        const entry = entries[i] as number
        if (entry === GONE) throw gone(i)
        out[i] = numberOf(entry)
      }
      return entries.length
    }
  }
}

/** The one set of every message that came without descriptors. */
export const EMPTY_FD_SET = new FdSet(INTERNAL, [], NO_CHANNEL)
Object.freeze(EMPTY_FD_SET)

/** @internal Makes the set of a received message; the list is the set's own from now on. */
export function adoptReceived(numbers: number[], handle: ChannelHandle): FdSet {
  if (numbers.length === 0) return EMPTY_FD_SET
  const set = new FdSet(INTERNAL, numbers, handle)
  watch(set, remains)
  return set
}

function checkNumber(fd: unknown, index: number, all: unknown[]): void {
  if (typeof fd !== 'number') {
    throw new TypeError(`fds[${index}] must be a descriptor's number, not a ${typeof fd}`)
  }
  if (!isDescriptor(fd)) {
    throw new RangeError(`fds[${index}] is ${fd}, which no descriptor's number can be`)
  }
  if (all.indexOf(fd) !== index) {
    throw new RangeError(`fds[${index}] is ${fd} again: it would be closed twice`)
  }
}

function gone(index: number): FdwireError {
  return new FdwireError(
    'ERR_FDWIRE_FD_GONE',
    `Descriptor ${index} of the set was taken, handed over or closed`,
    { index },
  )
}
