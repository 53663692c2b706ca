import { AsyncResource } from 'node:async_hooks'
import { channel as diagnostics } from 'node:diagnostics_channel'
import { type ChannelStats as NativeStats, RecordKind } from '#native'
import { type Address, decodeAddress } from './address.js'
import { Consumers, closedError } from './consumers.js'
import { WatchedEmitter } from './emitter.js'
import { abortError, FdwireError, systemError } from './errors.js'
import type { FdOwner, FdSet } from './fdset.js'
import { type From, type Item, isMessage, type Malformed, type Message } from './message.js'
import { countReferenced, environment, hot, register, release, unregister } from './native.js'
import {
  type CheckedOptions,
  checkCallOptions,
  checkSignal,
  checkTimeout,
  type Protocol,
  type SocketType,
  type WaitOptions,
} from './options.js'
import { Queue } from './queue.js'
import { beginTurn, detailAt, kindAt, nameAt, placeAt, Reader, recordAt } from './records.js'
import { Sender, type SendOptions } from './sender.js'

/** The events of a channel, with their arguments. */
export interface ChannelEvents<V> {
  /** A message. */
  message: [value: V, fds: FdSet, from: From]
  /** A message that could not be delivered; its descriptors are closed. */
  malformed: [error: FdwireError, from: From]
  /** A queued message that was given up: the kernel refused it, or `sendTimeout` was up. */
  undelivered: [error: Error, details: { to: Address | undefined }]
  /** The queue of a destination is empty again after `send` gave false; `to` as in `send`. */
  drain: [to: Address | undefined]
  /** The channel can't go on; it closes by itself. */
  error: [error: Error]
  /** The last event, once. */
  close: []
}

/** What a channel has done, and what it has waiting. */
export interface ChannelStats {
  /** Messages that were received whole, their bytes and descriptors. */
  received: number
  receivedBytes: number
  receivedFds: number
  /** Messages that could not be delivered. */
  malformed: number
  /** Replies that came after their request had been given up. */
  lateReplies: number
  /** Messages that the kernel or a queue has taken, their bytes and descriptors. */
  sent: number
  sentBytes: number
  sentFds: number
  /** Queued messages that were given up. */
  undelivered: number
  /** Messages that are queued for sending, their bytes and descriptors. */
  queued: number
  queuedBytes: number
  queuedFds: number
  /** Messages that were read and that nobody has taken yet. */
  unread: number
  /** Received descriptors that nobody has taken or closed. */
  openFds: number
}

/** Options of `request`. */
export interface RequestOptions extends SendOptions, WaitOptions {}

const CLOSE_TIMEOUT = 10_000
const malformedChannel = diagnostics('fdwire:malformed')
const undeliveredChannel = diagnostics('fdwire:undelivered')
const REJECTION = Symbol.for('nodejs.rejection')

interface Flush {
  /** The first queued message that it does not wait for. */
  until: number
  resolve(): void
  reject(error: unknown): void
}

/**
 * Messages with descriptors, both ways, over a datagram socket.
 *
 * Made by `bind`, `connect`, `pair` and `adopt`. See docs/api.md for what it promises.
 */
export class Channel<V = unknown> extends WatchedEmitter<ChannelEvents<V>> {
  /** The framing. */
  readonly protocol: Protocol
  /** The socket's type. */
  readonly type: SocketType
  readonly #owner: FdOwner
  readonly #connected: boolean
  readonly #context = new AsyncResource('FDWIRECHANNEL')
  readonly #reader: Reader
  readonly #sender: Sender
  readonly #consumers = new Consumers(() => this.#updateWant())
  /** What was read and nobody has taken: the rest of a turn whose last consumer went in its middle. */
  readonly #unread = new Queue<Item>()
  #flushes: Flush[] = []
  #listening = false
  #paused = false
  #wanted = false
  #iterating = false
  #referenced = true
  #malformed = 0
  #drainScheduled = false
  /** What is left to tell of records that are no messages. */
  readonly #notices = new Queue<() => void>()
  /** Malformed messages wait in line for a `receive` that takes them: fdwire/jsoncomm. */
  #keepMalformed = false
  /** Why the channel has ended, for calls that come later. */
  #error: Error | undefined
  #closing: Promise<void> | undefined
  #whenClosed: (() => void)[] = []
  #stopped = false
  #closed = false
  #lastStats: ChannelStats | undefined

  /** @internal Channels are made by `bind`, `connect`, `pair` and `adopt`. */
  constructor(index: number, options: CheckedOptions) {
    super({ captureRejections: options.captureRejections })
    this.protocol = options.protocol
    this.type = options.type
    this.#owner = { index }
    this.#connected = environment.peerAddress(index) !== null
    this.#reader = new Reader(this.#owner)
    this.#sender = new Sender(this.#owner, options, this.#connected)
    register(index, this)
    countReferenced(1)
  }

  /** The socket's descriptor, lent; -1 once the channel is closed. */
  get fd(): number {
    return this.#owner.index < 0 ? -1 : environment.fd(this.#owner.index)
  }

  /** Whether the socket is closed. */
  get closed(): boolean {
    return this.#closed
  }

  /** The socket's own name: null where it has none, or is closed. */
  get localAddress(): string | Buffer | null {
    const { index } = this.#owner
    return index < 0 ? null : decodeAddress(environment.localAddress(index))
  }

  /** The peer's name: null where it has none, undefined where there is no peer, or it is closed. */
  get remoteAddress(): string | Buffer | null | undefined {
    const { index } = this.#owner
    const name = index < 0 ? null : environment.peerAddress(index)
    return name === null ? undefined : decodeAddress(name)
  }

  /** What was done so far, and what waits. */
  get stats(): ChannelStats {
    return this.#lastStats ?? this.#readStats()
  }

  /**
   * Sends a message, with `fds` beside it.
   *
   * Returns false when it had to be queued: wait for `'drain'`, or the queue grows to `maxQueued`.
   * Value, Buffer and descriptors are the caller's again when it returns.
   *
   * # Errors
   * Nothing is sent or queued when it throws, and the channel stays usable: ERR_FDWIRE_UNENCODABLE,
   * ERR_FDWIRE_TOO_MANY_FDS, ERR_FDWIRE_QUEUE_FULL, ERR_FDWIRE_BAD_ADDRESS, ERR_FDWIRE_CLOSED, and
   * the kernel's on this message (ECONNREFUSED, EMSGSIZE, EBADF …).
   */
  send(value: unknown, options?: SendOptions): boolean {
    return this.#sender.send(value, options) === 0
  }

  /**
   * Sends many messages, the same bytes as `send` one by one, faster.
   *
   * # Errors
   * As `send`. For a value that can't be encoded `error.index` is its index, and none was sent; for
   * the kernel's errors and a full queue `error.sent` is how many were.
   */
  sendAll(values: Iterable<unknown>, options?: SendOptions): boolean {
    return this.#sender.sendAll(values, options)
  }

  /**
   * Waits for the next message; null when the channel is closed while it waits.
   *
   * # Errors
   * ERR_FDWIRE_TIMEOUT, AbortError: then no message was taken.
   */
  receive(options: WaitOptions = {}): Promise<Message<V> | null> {
    return this.#receive(options, false)
  }

  /**
   * Sends a message and waits for its reply: the next message from where it went.
   *
   * For peers that speak only when they are asked. Several may be under way; replies are matched in
   * order. One that is given up keeps its place, so that its late reply is dropped.
   *
   * # Errors
   * As `send` and `receive`; a malformed reply rejects, and so does an undelivered request.
   */
  async request(value: unknown, options: RequestOptions = {}): Promise<Message<V>> {
    const { timeout, signal, ...sending } = options
    const how = this.#waitOptions({ timeout, signal })
    this.#checkOpen('request')
    const seq = this.#sender.send(value, sending)
    const replyFrom = sending.to ?? null
    const reply = this.#consumers.wait({ ...how, replyFrom, seq })
    this.#updateWant()
    this.#drain()
    return (await reply) as Message<V>
  }

  /**
   * Resolves when the kernel has everything that was sent before.
   *
   * # Errors
   * The reason, where one of these messages was given up.
   */
  async flush(): Promise<void> {
    this.#checkOpen('flush')
    await this.#flush()
  }

  /**
   * Stops delivering, sends what is queued, and closes. A second call gives the same promise.
   *
   * # Errors
   * ERR_FDWIRE_TIMEOUT with `error.unsent` (bytes) when that takes longer than `timeout` (ms,
   * 10,000; 0: no limit); the rest is dropped then.
   */
  close(options: { timeout?: number | undefined } = {}): Promise<void> {
    checkCallOptions('close', options, ['timeout'])
    const timeout = checkTimeout(options.timeout, CLOSE_TIMEOUT)
    this.#closing ??= this.#closed ? Promise.resolve() : this.#close(timeout)
    return this.#closing
  }

  /** Closes at once, and drops what is queued. With an error, that is why: see `'error'`. */
  destroy(error?: Error): this {
    if (this.#closed) return this
    this.#error = error
    unregister(this.#leave())
    const flushes = this.#flushes
    this.#flushes = []
    for (const flush of flushes) flush.reject(error ?? closedError('flush'))
    if (error === undefined) {
      this.#consumers.endAll()
      this.#emitClose()
      return this
    }
    // Somebody must hear of it: who waits, who listens, or else the process.
    const heard = this.#consumers.failAll(error) || flushes.length > 0
    this.#emitClose(heard && this.listenerCount('error') === 0 ? undefined : error)
    return this
  }

  /** Holds `'message'` from the next message on; `receive()` and `request()` still take. */
  pause(): this {
    this.#paused = true
    this.#updateWant()
    return this
  }

  /** Ends `pause()`. */
  resume(): this {
    this.#paused = false
    this.#updateWant()
    return this
  }

  /** Whether `pause()` is in force. */
  isPaused(): boolean {
    return this.#paused
  }

  /** Keeps the process alive as long as the channel is open: the default. */
  ref(): this {
    if (!this.#referenced && !this.#closed) countReferenced(1)
    this.#referenced = true
    return this
  }

  /** Lets the process end though the channel is open, even if something is queued. */
  unref(): this {
    if (this.#referenced && !this.#closed) countReferenced(-1)
    this.#referenced = false
    return this
  }

  /**
   * Gives up the channel and returns its descriptor, open, for another thread or process to adopt.
   *
   * # Errors
   * ERR_FDWIRE_NOT_QUIET when something is queued, was read and not taken, or is waited for.
   */
  detach(): number {
    this.#checkOpen('detach')
    const { queued } = this.#readStats()
    if (queued > 0 || this.#unread.length > 0 || this.#consumers.waiting > 0) {
      throw new FdwireError(
        'ERR_FDWIRE_NOT_QUIET',
        `detach: ${queued} messages are queued, ${this.#unread.length} were read and not taken, ` +
          `${this.#consumers.waiting} calls wait`,
      )
    }
    const fd = release(this.#leave())
    this.#emitClose()
    return fd
  }

  /**
   * The messages, for `for await`; ends when the channel is closed, throws what ends it otherwise.
   *
   * `break` closes nothing: what was read stays for the next consumer.
   *
   * # Errors
   * ERR_FDWIRE_CONSUMER_CONFLICT beside another iterator or a `'message'` listener.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<Message<V>> {
    let done = false
    const finish = () => {
      if (active) this.#iterating = false
      active = false
      done = true
      return { done: true as const, value: undefined }
    }
    let active = false
    const iterator: AsyncIterableIterator<Message<V>> = {
      next: async () => {
        if (done) return { done: true, value: undefined }
        if (!active) this.#beginIterating()
        active = true
        try {
          // One that was closed is at its end; one that failed says so.
          if (this.#error === undefined && this.#isShut()) return finish()
          const message = await this.#receive({}, false)
          return message === null ? finish() : { done: false, value: message }
        } catch (error) {
          finish()
          throw error
        }
      },
      return: async () => finish(),
      [Symbol.asyncIterator]: () => iterator,
    }
    return iterator
  }

  /** The same as `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** What `captureRejections` calls. */
  [REJECTION](error: Error): void {
    this.destroy(error)
  }

  /** @internal Lets malformed messages wait for `receiveStrictly`. */
  keepMalformed(): void {
    this.#keepMalformed = true
  }

  /** @internal As `receive()`, but rejects for a malformed message. */
  receiveStrictly(options: WaitOptions = {}): Promise<Message<V> | null> {
    return this.#receive(options, true)
  }

  /** @internal Native code has `records` records for this channel. */
  onTurn(records: number): void {
    this.#context.runInAsyncScope(this.#turn, this, records)
  }

  protected override beforeListener(event: keyof ChannelEvents<V>): void {
    if (event === 'message' && this.#iterating) {
      throw conflict('an iterator takes the messages of this channel already')
    }
  }

  protected override listenersChanged(): void {
    this.#listening = this.listenerCount('message') > 0
    this.#updateWant()
  }

  #turn(records: number): void {
    const items: Item[] = []
    if (records > 0) beginTurn(records)
    // All are read before the first is delivered: no descriptor depends on what a listener does.
    for (let index = 0; index < records; index++) {
      const item = this.#reader.read(index)
      if (item !== undefined) items.push(item)
      else this.#notices.push(this.#notice(recordAt(index)))
    }
    let next = 0
    try {
      this.#drain()
      while (next < items.length) this.#deliver(items[next++] as Item)
    } finally {
      // If something threw, the rest keeps its order, and native code comes back for it.
      while (next < items.length) this.#unread.push(items[next++] as Item)
    }
    while (this.#notices.length > 0) this.#notices.shift()?.()
    this.#updateWant()
  }

  /** Gives an item to its consumer, or keeps it. */
  #deliver(item: Item): void {
    if (item.from !== undefined) this.#sender.note(item.from)
    if (!isMessage(item)) this.#malformed++
    this.#hand(item)
  }

  #hand(item: Item): void {
    if (this.#isShut()) {
      if (isMessage(item)) item.fds.close()
    } else if (this.#consumers.offer(item)) {
      // Whoever waited has it.
    } else if (!isMessage(item)) {
      if (this.#keepMalformed) this.#unread.push(item)
      else this.#reportMalformed(item)
    } else if (this.#listening && !this.#paused && this.#unread.length === 0) {
      this.emit('message', item.value, item.fds, item.from)
    } else {
      this.#unread.push(item)
    }
  }

  /** Gives what was kept to who wants it now. */
  #drain(): void {
    while (
      this.#unread.length > 0 &&
      (this.#consumers.waiting > 0 || (this.#listening && !this.#paused))
    ) {
      const item = this.#unread.shift() as Item
      if (this.#consumers.offer(item)) continue
      // A request that waits for somebody else's message takes none of these.
      if (!isMessage(item)) this.#reportMalformed(item)
      else if (this.#listening && !this.#paused) {
        this.emit('message', item.value, item.fds, item.from)
      } else {
        this.#unread.unshift(item)
        return
      }
    }
  }

  /** What a record that is no message is to do, when its turn comes. */
  #notice(at: number): () => void {
    const to = nameAt(at) ?? undefined
    const place = placeAt(at)
    const detail = detailAt(at)
    switch (kindAt(at)) {
      case RecordKind.Drained:
        return () => {
          this.#settleFlushes()
          this.emit('drain', to)
        }
      case RecordKind.Undelivered:
        return () => this.#reportUndelivered(place, detail, to)
      case RecordKind.FdsHeld:
        return () => this.#warnHeld()
      case RecordKind.Failed:
        return () => this.destroy(systemError(place, String(to)))
      default:
        return () => this.#settleFlushes()
    }
  }

  #reportMalformed({ error, from }: Malformed): void {
    if (malformedChannel.hasSubscribers) malformedChannel.publish({ channel: this, error, from })
    this.emit('malformed', error, from)
  }

  #reportUndelivered(errno: number, seq: number, to: Address | undefined): void {
    const error =
      errno === 0
        ? new FdwireError('ERR_FDWIRE_UNDELIVERED', 'The destination took nothing for sendTimeout')
        : systemError(errno, 'sendmsg', to === undefined ? {} : { dest: Buffer.from(to) })
    this.#consumers.fail(seq, error)
    const failed = this.#flushes.filter(flush => flush.until > seq)
    this.#flushes = this.#flushes.filter(flush => flush.until <= seq)
    for (const flush of failed) flush.reject(error)
    this.#settleFlushes()
    if (undeliveredChannel.hasSubscribers) undeliveredChannel.publish({ channel: this, error, to })
    this.emit('undelivered', error, { to })
  }

  #settleFlushes(): void {
    if (this.#flushes.length === 0) return
    const { oldest } = environment.queueNumbers(this.#owner.index)
    const done = this.#flushes.filter(flush => oldest === 0 || flush.until <= oldest)
    this.#flushes = this.#flushes.filter(flush => !done.includes(flush))
    if (this.#flushes.length === 0) environment.watch(this.#owner.index, false)
    for (const flush of done) flush.resolve()
  }

  #warnHeld(): void {
    process.emitWarning(
      'A channel stopped reading: as many received descriptors as maxOpenFds allows are open',
      {
        type: 'FdwireWarning',
        code: 'FDWIRE_MAX_OPEN_FDS',
        detail: 'Close the FdSet of each message, or take() what you keep. Said once a channel.',
      },
    )
  }

  #receive(options: WaitOptions, takesMalformed: boolean): Promise<Message<V> | null> {
    try {
      this.#checkOpen('receive')
      const how = this.#waitOptions(options)
      const message = this.#consumers.wait({ ...how, takesMalformed })
      this.#drain()
      this.#updateWant()
      return message as Promise<Message<V> | null>
    } catch (error) {
      return Promise.reject(error)
    }
  }

  #waitOptions(options: WaitOptions): { timeout: number; signal: AbortSignal | undefined } {
    checkCallOptions('receive', options, ['timeout', 'signal'])
    const signal = checkSignal(options.signal)
    if (signal?.aborted) throw abortError(signal)
    return { timeout: checkTimeout(options.timeout, 0), signal }
  }

  #updateWant(): void {
    const wanted =
      !this.#isShut() && (this.#consumers.waiting > 0 || (this.#listening && !this.#paused))
    if (wanted === this.#wanted) return
    this.#wanted = wanted
    if (this.#owner.index >= 0) {
      const result = hot.want(this.#owner.index, wanted ? 1 : 0)
      if (result < 0) this.destroy(systemError(result, 'epoll_ctl'))
    }
    if (!wanted || this.#unread.length === 0 || this.#drainScheduled) return
    this.#drainScheduled = true
    this.#context.runInAsyncScope(process.nextTick, process, () => {
      this.#drainScheduled = false
      this.#drain()
    })
  }

  #beginIterating(): void {
    if (this.#iterating) throw conflict('another iterator takes the messages of this channel')
    if (this.#listening) throw conflict("a 'message' listener takes the messages of this channel")
    this.#iterating = true
  }

  #isShut(): boolean {
    return this.#closed || this.#stopped
  }

  #checkOpen(call: string): void {
    if (this.#error !== undefined) throw this.#error
    if (this.#isShut()) throw closedError(call)
  }

  /** From here on nothing is delivered and nothing can be sent; what is queued still goes out. */
  #stop(): void {
    this.#stopped = true
    this.#sender.close()
    for (let item = this.#unread.shift(); item !== undefined; item = this.#unread.shift()) {
      if (isMessage(item)) item.fds.close()
    }
    this.#updateWant()
  }

  async #close(timeout: number): Promise<void> {
    this.#stop()
    this.#consumers.endAll()
    const late = await this.#finish(timeout)
    const unsent = this.stats.queuedBytes
    this.destroy()
    await new Promise<void>(resolve => this.#whenClosed.push(resolve))
    if (late) {
      throw new FdwireError(
        'ERR_FDWIRE_TIMEOUT',
        `close: ${unsent} bytes unsent in ${timeout} ms`,
        {
          unsent,
        },
      )
    }
  }

  /** Waits for the queues to be empty; whether that took too long. */
  async #finish(timeout: number): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<boolean>(resolve => {
      if (timeout > 0) timer = setTimeout(resolve, timeout, true)
    })
    const flushed = (async () => {
      // A message that is given up is told by 'undelivered'; the others still go out.
      while (!this.#closed && environment.queueNumbers(this.#owner.index).oldest !== 0) {
        await this.#flush().catch(() => {})
      }
      return false
    })()
    const isLate = await Promise.race([late, flushed])
    clearTimeout(timer)
    return isLate
  }

  async #flush(): Promise<void> {
    const { oldest, next } = environment.queueNumbers(this.#owner.index)
    if (oldest === 0) return
    await new Promise<void>((resolve, reject) => {
      this.#flushes.push({ until: next, resolve, reject })
      environment.watch(this.#owner.index, true)
    })
  }

  /** Forgets the socket, which the caller closes or gives away; its index. */
  #leave(): number {
    const { index } = this.#owner
    this.#lastStats = this.#readStats()
    this.#closed = true
    this.#stop()
    if (this.#referenced) countReferenced(-1)
    this.#owner.index = -1
    return index
  }

  /** Tells of the end, never inside a call of the user's own. */
  #emitClose(error?: Error): void {
    this.#context.runInAsyncScope(process.nextTick, process, () => {
      try {
        if (error !== undefined) this.emit('error', error)
      } finally {
        const waiting = this.#whenClosed
        this.#whenClosed = []
        for (const resolve of waiting) resolve()
        this.emit('close')
      }
    })
  }

  #readStats(): ChannelStats {
    const { refused: _, ...counted } = environment.stats(this.#owner.index) as NativeStats
    return {
      ...counted,
      malformed: this.#malformed,
      lateReplies: this.#consumers.lateReplies,
      unread: this.#unread.length,
    }
  }
}

function conflict(why: string): FdwireError {
  return new FdwireError('ERR_FDWIRE_CONSUMER_CONFLICT', `Conflict of consumers: ${why}`)
}
