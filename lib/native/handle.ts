import { Counter, type PeerCredentials, type SocketAddress } from '#native'
import { type Counters, readCounter, readCounters } from './counters.js'
import {
  countReferenced,
  environment,
  flushSoon,
  hot,
  type Receiver,
  register,
  release,
  unregister,
} from './environment.js'

/**
 * One channel of native code: every call that lib/ makes for a channel goes through its handle.
 *
 * A handle outlives its channel, since received descriptors refer to it. Once the channel is closed
 * or detached, `index` is -1 and the calls that ask about the socket answer as if there were none.
 *
 * This class is for sockets. `over` extends it for channels whose bytes a Duplex stream carries.
 */
export class ChannelHandle {
  /** The channel's index in the environment's table; -1 once it is closed or detached. */
  index: number
  /** The last counters of a closed channel. */
  #finalCounters: Counters | undefined
  /** Received descriptors that were open when the channel closed, less those closed since. */
  #fdsLeft = 0
  /** Whether messages are read from the socket. */
  #isReading = false
  /** Whether the channel keeps the process alive. */
  #isReferenced = false

  constructor(index: number) {
    this.index = index
  }

  get isOpen(): boolean {
    return this.index >= 0
  }

  /** Whether native code has a socket for the channel, so that closing waits for no stream. */
  get isSocket(): boolean {
    return true
  }

  /** The socket's descriptor; -1 where there is none. */
  get fd(): number {
    return this.index < 0 ? -1 : environment.fd(this.index)
  }

  /** Whether the socket is a TCP socket. */
  get isTcp(): boolean {
    return hot.isTcp(this.index) === 1
  }

  /** The socket's own name; null where there is no socket. */
  localName(): SocketAddress | null {
    return this.index < 0 ? null : environment.localAddress(this.index)
  }

  /** The name of the socket at the other end; null where there is none. */
  peerName(): SocketAddress | null {
    return this.index < 0 ? null : environment.peerAddress(this.index)
  }

  /** The process that made the socket at the other end; null if the kernel does not know it. */
  peerCredentials(): PeerCredentials | null {
    return environment.peerCredentials(this.index)
  }

  /** A pidfd of that process, which belongs to the channel. Throws if the kernel has none. */
  peerPidfd(): number {
    return environment.peerPidfd(this.index)
  }

  /** Takes the records of the channel from now on, and keeps the process alive. */
  register(receiver: Receiver): void {
    register(this.index, receiver)
    this.setReferenced(true)
  }

  /** Sets whether the channel keeps the process alive. */
  setReferenced(referenced: boolean): void {
    if (referenced === this.#isReferenced) return
    this.#isReferenced = referenced
    countReferenced(referenced ? 1 : -1)
  }

  /** What the channel has done and what it holds; once it is closed, what it was then. */
  counters(): Counters {
    if (this.#finalCounters !== undefined) return this.#finalCounters
    hot.stats(this.index)
    return readCounters()
  }

  /** One of the counters. */
  counter(counter: Counter): number {
    if (this.#finalCounters !== undefined) return this.#finalCounters[counter]
    hot.stats(this.index)
    return readCounter(counter)
  }

  /** Received descriptors that are neither taken nor closed. */
  get openFds(): number {
    return this.index < 0 ? this.#fdsLeft : this.counter(Counter.OpenFds)
  }

  /** The whole number of a queued message, of which a record holds the low 31 bits. */
  queuedNumber(low: number): number {
    const next = this.counter(Counter.NextQueued)
    return next - ((next - low) % 2 ** 31)
  }

  /** Counts a message as malformed that native code has counted as received. */
  countMalformed(bytes: number, fds: number): void {
    if (this.index >= 0) environment.countMalformed(this.index, bytes, fds)
  }

  /** Sets whether a record reports that queued messages have left the queue. */
  watchQueue(watched: boolean): void {
    if (this.index >= 0) environment.watchQueue(this.index, watched)
  }

  /**
   * Sends an encoded message, with as many descriptors of the shared table as `fds` says.
   *
   * Returns undefined when the kernel has it or no more than the high-water mark is queued, the
   * positive number of a queued message, or a negative code.
   */
  send(
    encoded: string | ArrayBufferView,
    fds: number,
    to: string | Uint8Array | undefined,
  ): number | undefined {
    const send = typeof encoded === 'string' ? hot.sendText : hot.sendBytes
    if (to !== undefined) return send(this.index, encoded as never, fds, to)
    if (fds > 0) return send(this.index, encoded as never, fds)
    return send(this.index, encoded as never)
  }

  /** Sends each element of a JSON array; the shared table holds how many were taken. */
  sendMany(array: string, to: string | Uint8Array | undefined): number | undefined {
    return hot.sendMany(this.index, array, to)
  }

  /** Whether the protocol can frame these bytes: 0, or the negative code that `send` would return. */
  checkFrame(bytes: Uint8Array): number {
    return environment.checkFrame(this.index, bytes)
  }

  /** Sets whether messages are read from the socket; a negative errno where that fails, else 0. */
  setReading(reading: boolean): number {
    if (reading === this.#isReading) return 0
    this.#isReading = reading
    return this.applyReading(reading)
  }

  /** Whether messages are read from the socket. */
  protected get isReading(): boolean {
    return this.#isReading
  }

  protected applyReading(reading: boolean): number {
    return hot.setReading(this.index, reading ? 1 : 0) ?? 0
  }

  /** Sends at the end of this tick what a stream has gathered. */
  flushSoon(): void {
    flushSoon()
  }

  /** Sends now what a stream has gathered. */
  flush(): void {
    hot.flushChannel(this.index)
  }

  /** Half-closes the connection when everything is sent. */
  finish(): void {
    environment.finish(this.index)
  }

  /**
   * Prepares the connection for its close: half-closes it and discards what arrives.
   *
   * Calls `done` when there is nothing to wait for, possibly at once. The channel calls it itself
   * when the peer ends the connection.
   */
  shutDown(peerEnded: boolean, done: () => void): void {
    if (hot.shutDown(this.index, peerEnded ? 1 : 0) === undefined) done()
  }

  /** Closes the socket. The index may belong to another channel afterwards. */
  close(): void {
    const { index } = this
    this.#leave()
    unregister(index)
    this.#setFinal(readCounters())
  }

  /** Gives the socket's descriptor away, open. */
  detach(): number {
    const { index } = this
    const counters = this.counters()
    this.#leave()
    this.#setFinal(counters)
    return release(index)
  }

  /** Closes a received descriptor; a negative errno where that fails, else 0. */
  closeFd(fd: number): number {
    if (this.index < 0) this.#fdsLeft--
    return hot.closeFd(this.index, fd) ?? 0
  }

  /** Gives a received descriptor away. */
  takeFd(fd: number): void {
    if (this.index < 0) this.#fdsLeft--
    hot.takeFd(this.index, fd)
  }

  #leave(): void {
    this.setReferenced(false)
    this.index = -1
  }

  #setFinal(counters: Counters): void {
    this.#finalCounters = counters
    this.#fdsLeft = counters[Counter.OpenFds]
  }
}

/** The handle of descriptors that came by no channel. */
export const NO_CHANNEL = new ChannelHandle(-1)
