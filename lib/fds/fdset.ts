import type { Socket as DgramSocket } from 'node:dgram'
import type { Server, Socket } from 'node:net'
import type { Readable, Writable } from 'node:stream'
import { type InspectOptionsStylized, inspect } from 'node:util'
import { environment } from '../native/environment.js'
import { type ChannelHandle, NO_CHANNEL } from '../native/handle.js'
import { describeValue } from '../util/checks.js'
import type { Kind } from '../util/descriptor.js'
import { FdwireError, systemError } from '../util/errors.js'
import {
  absentError,
  checkNumber,
  checkOpen,
  checkUnowned,
  describeFd,
  refuseToSerializeFdSet,
} from './checks.js'
import { ABSENT, type Entries, fdOf, isPresent, lentEntry } from './entries.js'
import { type OpenFds, watchForLeaks } from './leaks.js'
import {
  type DatagramOptions,
  type OwnedFd,
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

/** The entries of every closed set. */
const CLOSED: Entries = []

/** The key that the constructor requires, so that programs cannot call it. */
const CONSTRUCTOR_KEY = Symbol('FdSet')

// Internal access to the private parts of a set. The class assigns these functions, so that its
// public type does not mention them.
let createSet: (fds: number[], handle: ChannelHandle) => FdSet
let openFdsOf: (set: FdSet) => OpenFds | undefined

/**
 * Writes the descriptors of a set into `out`, to send them, and returns how many there are. Their
 * entries are not marked as lent.
 *
 * # Errors
 * ERR_FDWIRE_FD_GONE for a closed set and for an entry that was taken or given to Node.
 */
export let borrow: (set: FdSet, out: Int32Array) => number

/**
 * The descriptors of a received message. The set owns them until they are taken or closed.
 *
 * Close the set when you are done (`fds.close()`, or `using`), and take the descriptors to keep. A
 * number is lent if the set returns it but still owns the descriptor, as `get` and an iteration do.
 * If a set is garbage collected with open descriptors, those whose number was never lent are closed.
 * The others may be in use and stay open. A warning is emitted once (`FDWIRE_FDSET_COLLECTED`).
 *
 * An index counts from 0. A negative index counts from the end, as in `Array.prototype.at`. Taking
 * an entry changes neither the other indices nor `length`.
 *
 * Iterating lends the numbers of the remaining entries, in order.
 *
 * ```js
 * channel.on('message', (value, fds) => {
 *   const file = fds.toReadStream(0) // Node owns this descriptor now
 *   const kept = fds.take(1)         // you own this one now
 *   fds.close()                      // closes the others
 * })
 * ```
 */
export class FdSet implements Iterable<number> {
  #entries: Entries
  readonly #handle: ChannelHandle
  /**
   * Refuses to serialize the set: a descriptor's number means nothing elsewhere. Each set has its own
   * copy of this function, because structuredClone and postMessage refuse an object only if it has a
   * function of its own.
   */
  readonly toJSON: () => never

  private constructor(key: symbol, entries: number[], handle: ChannelHandle) {
    if (key !== CONSTRUCTOR_KEY) {
      throw new TypeError('FdSet has no public constructor: use FdSet.from(fds)')
    }
    this.#entries = entries
    this.#handle = handle
    this.toJSON = refuseToSerializeFdSet
  }

  /**
   * Makes a set that owns these descriptors and will close them.
   *
   * # Errors
   * TypeError or RangeError for a value that is not a descriptor number or occurs twice, EBADF for
   * a descriptor that is not open, EBUSY for one that a set or channel already owns. If this
   * throws, the caller still owns all of them.
   */
  static from(fds: Iterable<number>): FdSet {
    if (fds instanceof FdSet) {
      throw new TypeError(
        'fds must be descriptor numbers, not an FdSet, which owns its descriptors',
      )
    }
    if (fds === null || typeof fds !== 'object' || !(Symbol.iterator in fds)) {
      throw new TypeError(`fds must be an array of descriptor numbers, not ${describeValue(fds)}`)
    }
    const numbers = [...fds]
    numbers.forEach(checkNumber)
    numbers.forEach(checkOpen)
    numbers.forEach((fd, index) => {
      try {
        checkUnowned(fd, index)
        environment.ownFd(fd)
      } catch (error) {
        for (const owned of numbers.slice(0, index)) NO_CHANNEL.takeFd(owned)
        throw error
      }
    })
    return adoptReceived(numbers, NO_CHANNEL)
  }

  /** The same as {@link FdSet.from}, under its name in jsoncomm. */
  static fromList(fds: Iterable<number>): FdSet {
    return FdSet.from(fds)
  }

  /** The number of entries, including those that were taken; 0 once the set is closed. */
  get length(): number {
    return this.#entries.length
  }

  /**
   * Lends a descriptor: returns its number, while the set still owns it and will close it.
   *
   * # Errors
   * ERR_FDWIRE_FD_GONE for a descriptor that was taken, given to Node or closed; RangeError for an
   * index out of range.
   */
  get(index: number): number {
    const at = this.#locate(index)
    const fd = fdOf(this.#entries[at] as number)
    this.#entries[at] = lentEntry(fd)
    return fd
  }

  /**
   * Gives a descriptor to the caller, who must close it.
   *
   * # Errors
   * Those of {@link FdSet.get}.
   */
  take(index: number): number {
    const at = this.#locate(index)
    const fd = fdOf(this.#entries[at] as number)
    this.#release(at, fd)
    return fd
  }

  /** The same as {@link FdSet.take}, under its name in jsoncomm. */
  steal(index: number): number {
    return this.take(index)
  }

  /**
   * Returns what a descriptor refers to: `'file'`, `'pipe'`, `'tcp-listener'` …
   *
   * # Errors
   * Those of {@link FdSet.get}; EBADF for a descriptor that was closed outside the set.
   */
  kind(index: number): Kind {
    return environment.kindOf(fdOf(this.#entries[this.#locate(index)] as number)) as Kind
  }

  /**
   * Gives a connected TCP or Unix stream socket to Node as a `net.Socket`.
   *
   * Node sets O_NONBLOCK on it. That flag belongs to the open file description, so it changes for
   * the sender and for every other process that has the socket.
   *
   * # Errors
   * ERR_FDWIRE_FD_KIND for any other kind, and those of {@link FdSet.get}. If this method throws,
   * the set still owns the descriptor. After a later failure the socket emits `'error'`, and Node
   * closes the descriptor.
   */
  toSocket(index: number, options?: SocketOptions): Socket {
    return toSocket(this.#owned(index), options)
  }

  /**
   * Gives a listening TCP or Unix socket to Node as a `net.Server`, or to the server in
   * `options.server` (for example an `http.Server`).
   *
   * The server accepts connections at once. In the next tick it emits `'listening'`, or `'error'`,
   * after which the descriptor is closed. Node calls listen(2) again, with `backlog` (511), and
   * sets O_NONBLOCK. Both apply to every process that has the socket.
   *
   * # Errors
   * Those of {@link FdSet.toSocket}; TypeError for a server that already listens.
   */
  toServer<S extends Server = Server>(
    index: number,
    options?: ServerOptions<S>,
    onConnection?: (socket: Socket) => void,
  ): S {
    return toServer(this.#owned(index), options, onConnection)
  }

  /**
   * Gives a UDP socket to Node as a `dgram.Socket` that is bound and receives messages.
   *
   * Its type is `udp4` or `udp6`, according to the descriptor. Node sets O_NONBLOCK, which applies
   * to every process that has the socket. Node does not support Unix datagram sockets: take the
   * descriptor and pass it to `adopt()`.
   *
   * # Errors
   * Those of {@link FdSet.toSocket}.
   */
  toDatagram(index: number, options?: DatagramOptions): DgramSocket {
    return toDatagram(this.#owned(index), options)
  }

  /**
   * Gives a descriptor to Node as a readable stream, whose class depends on the kind.
   *
   * A connected TCP or Unix stream socket becomes a `net.Socket` (O_NONBLOCK is set for every process
   * that has it), and so does a pipe, which is opened again, so that its sender cannot make it
   * blocking. A terminal becomes a `tty.ReadStream`. A file or memfd becomes an
   * `fs.ReadStream` that reads by position from `start` (bytes, 0): it neither uses nor moves the
   * offset that it shares with other processes. Each stream closes the descriptor at its end.
   *
   * # Errors
   * ERR_FDWIRE_FD_KIND for any other kind and ERR_FDWIRE_REMOTE_FILE for a file of a file system that
   * is not known to be local, unless `trust` is true: reads of these can block indefinitely, and four
   * blocked reads stop the file system and dns functions of the whole process. Also those of
   * {@link FdSet.get}. If this method throws, the set still owns the descriptor.
   */
  toReadStream(index: number, options?: ReadStreamOptions): Readable {
    return toReadStream(this.#owned(index), options)
  }

  /**
   * Gives a descriptor to Node as a writable stream, whose class depends on the kind.
   *
   * As {@link FdSet.toReadStream}: a `net.Socket`, a `tty.WriteStream`, or an `fs.WriteStream` that
   * writes by position from `start` (bytes, 0), except to a file that was opened for appending.
   * Ending the stream of a socket half-closes the connection for every process that has the socket.
   *
   * # Errors
   * Those of {@link FdSet.toReadStream}.
   */
  toWriteStream(index: number, options?: WriteStreamOptions): Writable {
    return toWriteStream(this.#owned(index), options)
  }

  /**
   * Closes the descriptors that the set still owns. A second call does nothing.
   *
   * A thread closes sockets, pipes, devices and files on a network file system, usually within a
   * millisecond, because close(2) may wait for other processes. The others are closed at once.
   *
   * # Errors
   * The kernel's error, after all descriptors are closed: EBADF for one that was closed outside the
   * set.
   */
  close(): void {
    const entries = this.#entries
    if (entries.length === 0) return
    this.#entries = CLOSED
    let count = 0
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i] as number
      if (entry !== ABSENT) entries[count++] = fdOf(entry)
    }
    const handle = this.#handle
    const result =
      count === 1 ? handle.closeFd(entries[0] as number) : handle.closeFds(entries, count)
    // If the set is collected, closeLeaked must find nothing to close.
    for (let i = 0; i < entries.length; i++) entries[i] = ABSENT
    if (result < 0) throw systemError(result, 'close', { hint: 'it was closed outside the set' })
  }

  /** Shows the descriptors with their kinds in console.log. */
  [inspect.custom](depth: number, options: InspectOptionsStylized): string {
    const name = `FdSet(${this.#entries.length})`
    if (this.#entries === CLOSED) return `${name} [closed]`
    if (depth < 0) return options.stylize(`[${name}]`, 'special')
    const shown = this.#entries.map(entry => (entry === ABSENT ? 'taken' : describeFd(fdOf(entry))))
    return `${name} [ ${shown.join(', ')} ]`
  }

  /** The same as {@link FdSet.close}. */
  [Symbol.dispose](): void {
    this.close()
  }

  /** Lends the numbers of the remaining entries, in order. */
  *[Symbol.iterator](): Generator<number, undefined> {
    for (let i = 0; i < this.#entries.length; i++) {
      if (this.#entries[i] !== ABSENT) yield this.get(i)
    }
    return undefined
  }

  /** Returns the position of an entry that is present. */
  #locate(index: number): number {
    if (!Number.isInteger(index)) {
      throw new TypeError(`The index must be an integer, not ${describeValue(index)}`)
    }
    const { length } = this.#entries
    const at = index < 0 ? index + length : index
    if (at >= 0 && at < length) {
      if (this.#entries[at] !== ABSENT) return at
    } else if (this.#entries !== CLOSED) {
      throw new RangeError(`Index ${index} is out of range for an FdSet of length ${length}`)
    }
    throw absentError(index)
  }

  #release(at: number, fd: number): void {
    this.#entries[at] = ABSENT
    this.#handle.takeFd(fd)
  }

  #owned(index: number): OwnedFd {
    const at = this.#locate(index)
    const fd = fdOf(this.#entries[at] as number)
    const kind = environment.kindOf(fd) as Kind
    return { fd, kind, index, release: () => this.#release(at, fd) }
  }

  static {
    createSet = (fds, handle) => new FdSet(CONSTRUCTOR_KEY, fds, handle)
    openFdsOf = set => {
      const entries = set.#entries
      return entries.some(isPresent) ? { entries, handle: set.#handle } : undefined
    }
    borrow = (set, out) => {
      const entries = set.#entries
      if (entries === CLOSED) throw new FdwireError('ERR_FDWIRE_FD_GONE', 'The FdSet is closed')
      for (let i = 0; i < entries.length; i++) {
        const entry = entries[i] as number
        if (entry === ABSENT) throw absentError(i)
        out[i] = fdOf(entry)
      }
      return entries.length
    }
  }
}

/** The set that all messages without descriptors share. */
export const EMPTY_FD_SET = createSet([], NO_CHANNEL)
Object.freeze(EMPTY_FD_SET)

/** Makes the set of a received message. The set keeps the array `fds`. */
export function adoptReceived(fds: number[], handle: ChannelHandle): FdSet {
  if (fds.length === 0) return EMPTY_FD_SET
  const set = createSet(fds, handle)
  watchForLeaks(set, openFdsOf)
  return set
}
