import { Counter, FDS_OUT, FDS_OUT_MAX, type PeerCredentials, type SocketAddress } from '#native'
import { addToTotals, type Counters, readCounter, readCounters, totals } from './counters.js'
import {
  countReferenced,
  environment,
  forget,
  hot,
  type Receiver,
  register,
  release,
  unregister,
} from './environment.js'
import { flushSoon, queueGathered } from './gather.js'
import { table } from './memory.js'

/** Whether messages are read; `awaited`: they are, and the thread may poll for the next one. */
export type Reading = 'no' | 'yes' | 'awaited'

/** The argument of `hot.setReading`. */
const READING: Readonly<Record<Reading, number>> = { no: 0, yes: 1, awaited: 2 }

/**
 * A channel of native code: every call that lib/ makes for a channel goes through its handle.
 *
 * A handle outlives its channel, since received descriptors refer to it. Once the channel is closed
 * or detached, `index` is -1, and the handle behaves as one without a socket.
 *
 * This class is for sockets. `DuplexHandle` extends it for a channel over a Duplex stream.
 */
export class ChannelHandle {
  /** The channel's index in the environment's table; -1 once it is closed or detached. */
  index: number
  /**
   * The counters as they were when the channel closed; undefined while it is open. That of the open
   * descriptors still changes.
   */
  #finalCounters: Counters | undefined
  /** Whether messages are read from the socket. */
  #reading: Reading = 'no'
  /** Whether the channel keeps the process alive. */
  #isReferenced = false

  constructor(index: number) {
    this.index = index
  }

  get isOpen(): boolean {
    return this.index >= 0
  }

  /** The socket's descriptor; -1 without a socket. */
  get fd(): number {
    return this.index < 0 ? -1 : environment.fd(this.index)
  }

  /** Returns the socket's own address; null without a socket. */
  localAddress(): SocketAddress | null {
    return this.index < 0 ? null : environment.localAddress(this.index)
  }

  /** Returns the peer's address; null without a peer. */
  peerAddress(): SocketAddress | null {
    return this.index < 0 ? null : environment.peerAddress(this.index)
  }

  /** Returns the length in bytes of the longest message; null for a stream or a closed channel. */
  largestMessage(): number | null {
    return this.index < 0 ? null : environment.largestMessage(this.index)
  }

  /** Returns the credentials of the process that made the peer's socket; null if unknown. */
  peerCredentials(): PeerCredentials | null {
    return environment.peerCredentials(this.index)
  }

  /** Returns a pidfd of that process. The channel owns it. Throws if the kernel provides none. */
  peerPidfd(): number {
    return environment.peerPidfd(this.index)
  }

  /** Sets the receiver of the channel's records, and lets the channel keep the process alive. */
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

  /** Returns all counters; after the channel is closed, their last values. */
  counters(): Counters {
    if (this.#finalCounters !== undefined) return this.#finalCounters
    this.#writeCounters()
    return readCounters()
  }

  /** Returns one counter; after the channel is closed, its last value. */
  counter(counter: Counter): number {
    if (this.#finalCounters !== undefined) return this.#finalCounters[counter]
    this.#writeCounters()
    return readCounter(counter)
  }

  /** The number of received descriptors that are neither taken nor closed. */
  get openFds(): number {
    return this.index < 0 && this.#finalCounters === undefined ? 0 : this.counter(Counter.OpenFds)
  }

  /** Returns the number of a queued message from its low 31 bits, which are what a record holds. */
  queuedNumber(low: number): number {
    const next = this.counter(Counter.NextQueued)
    return next - ((next - low) % 2 ** 31)
  }

  /** Counts a message as malformed instead of received. */
  countMalformed(bytes: number, fds: number): void {
    if (this.index >= 0) environment.countMalformed(this.index, bytes, fds)
  }

  /** Sets whether a record reports that queued messages have left the queue. */
  watchQueue(watched: boolean): void {
    if (this.index >= 0) environment.watchQueue(this.index, watched)
  }

  /**
   * Sends an encoded message with the first `fds` descriptors of the shared table.
   *
   * Returns undefined if the kernel has taken it, or if the queue has no more bytes than the
   * high-water mark. Otherwise returns the number of the queued message, or a negative code.
   */
  send(
    encoded: string | ArrayBufferView,
    fds: number,
    to: string | Uint8Array | undefined,
  ): number | undefined {
    queueGathered()
    const send = typeof encoded === 'string' ? hot.sendText : hot.sendBytes
    if (to !== undefined) return send(this.index, encoded as never, fds, to)
    if (fds > 0) return send(this.index, encoded as never, fds)
    return send(this.index, encoded as never)
  }

  /** Sends each element of a JSON array. Writes the number of accepted elements into the table. */
  sendMany(array: string, to: string | Uint8Array | undefined): number | undefined {
    queueGathered()
    return hot.sendMany(this.index, array, to)
  }

  /** Returns 0 if the protocol can frame these bytes, else the negative code of `send`. */
  checkFrame(bytes: Uint8Array): number {
    return environment.checkFrame(this.index, bytes)
  }

  /**
   * Sets whether messages are read from the socket. `awaited`: whether the thread may poll for one,
   * because a call waits for it.
   */
  setReading(reading: boolean, awaited: boolean): void {
    const next = awaited ? 'awaited' : reading ? 'yes' : 'no'
    if (next === this.#reading) return
    this.#reading = next
    this.applyReading(next)
  }

  /** Whether messages are read from the socket. */
  get isReading(): boolean {
    return this.#reading !== 'no'
  }

  protected applyReading(reading: Reading): void {
    hot.setReading(this.index, READING[reading])
  }

  /**
   * Drops the connection, and a message that was sent in part, or all messages unless `keep`.
   * Returns the numbers of the dropped messages.
   */
  disconnect(keep: boolean): number[] {
    if (this.index < 0) return []
    queueGathered()
    return environment.disconnect(this.index, keep)
  }

  /** Queues packets instead of sending them. */
  hold(): void {
    if (this.index >= 0) environment.hold(this.index)
  }

  /** Sets whether the clocks of the channel's deadlines stop although it reads. */
  setBusy(busy: boolean): void {
    if (this.index >= 0) environment.setBusy(this.index, busy)
  }

  /**
   * Watches for the connection to be shut down in both directions. A record reports it, once, or
   * `done` is called.
   */
  watchHangUp(_done: () => void): void {
    if (this.index >= 0) environment.watchHangUp(this.index)
  }

  /** Lets the loop of this thread poll for messages of channels with the option `busyPoll`. */
  startBusyPolling(): void {
    environment.startBusyPolling()
  }

  /** Sends what a stream has queued, at the end of this tick. */
  flushSoon(): void {
    flushSoon()
  }

  /** Sends what a stream has queued, now. */
  flush(): void {
    queueGathered()
    hot.flushChannel(this.index)
  }

  /** Half-closes the connection when everything is sent. */
  finish(): void {
    queueGathered()
    environment.finish(this.index)
  }

  /** Discards what arrives from now on, while the queue is still sent. */
  discardInput(): void {
    this.setReading(false, false)
    environment.discardInput(this.index)
  }

  /**
   * Prepares the connection for its close: half-closes it and discards what arrives.
   *
   * Calls `done`, possibly at once, unless it has to wait for the peer's end. The caller must call
   * `done` itself when the peer ends.
   */
  shutDown(peerEnded: boolean, done: () => void): void {
    queueGathered()
    if (hot.shutDown(this.index, peerEnded ? 1 : 0) === undefined) done()
  }

  /**
   * Discards unread input and closes the socket, if no message is queued and the close need not
   * wait for a TCP peer to end. Otherwise does nothing and returns false.
   */
  closeIfIdle(peerEnded: boolean): boolean {
    const { index } = this
    queueGathered()
    if (hot.closeIfIdle(index, peerEnded ? 1 : 0) !== undefined) return false
    this.#leave()
    forget(index)
    this.#endWith(readCounters())
    return true
  }

  /**
   * Closes the socket, if it is open. Native code may reuse the index for another channel
   * afterwards.
   */
  close(): void {
    const { index } = this
    if (index < 0) return
    // Another channel may get the index.
    queueGathered()
    this.#leave()
    unregister(index)
    this.#endWith(readCounters())
  }

  /** Removes the channel and returns its socket's descriptor, which stays open. */
  detach(): number {
    const { index } = this
    const counters = this.counters()
    this.#leave()
    this.#endWith(counters)
    return release(index)
  }

  /** Closes a received descriptor. Returns 0 or a negated errno. */
  closeFd(fd: number): number {
    this.#countReleased(1)
    return hot.closeFd(this.index, fd) ?? 0
  }

  /** Closes the first `count` received descriptors of `fds`. Returns 0 or a negated errno. */
  closeFds(fds: readonly number[], count: number): number {
    let failed = 0
    for (let start = 0; start < count; start += FDS_OUT_MAX) {
      const part = Math.min(count - start, FDS_OUT_MAX)
      for (let i = 0; i < part; i++) table[FDS_OUT + i] = fds[start + i] as number
      this.#countReleased(part)
      const result = hot.closeFds(this.index, part) ?? 0
      if (failed === 0) failed = result
    }
    return failed
  }

  /** Releases a received descriptor without closing it. */
  takeFd(fd: number): void {
    this.#countReleased(1)
    hot.takeFd(this.index, fd)
  }

  /** Makes native code write the counters into the shared table. */
  #writeCounters(): void {
    queueGathered()
    hot.stats(this.index)
  }

  #leave(): void {
    this.setReferenced(false)
    this.index = -1
  }

  #endWith(counters: Counters): void {
    this.#finalCounters = counters
    addToTotals(counters)
  }

  /** Counts descriptors as taken or closed. While the channel is open, native code does. */
  #countReleased(fds: number): void {
    if (this.#finalCounters === undefined) return
    this.#finalCounters[Counter.OpenFds] -= fds
    totals.closed[Counter.OpenFds] = (totals.closed[Counter.OpenFds] ?? 0) - fds
  }
}

/** The handle of descriptors that no channel has received. */
export const NO_CHANNEL = new ChannelHandle(-1)
