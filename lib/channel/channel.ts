import { AsyncResource } from 'node:async_hooks'
import { channel as diagnostics } from 'node:diagnostics_channel'
import { captureRejectionSymbol } from 'node:events'
import { RecordKind } from '#native'
import { countReferenced, environment, register } from '../native/environment.js'
import { ChannelHandle } from '../native/handle.js'
import { type Address, decodeName, type TcpAddress } from '../options/address.js'
import {
  type CheckedOptions,
  checkCallOptions,
  checkIsObject,
  checkTimeout,
  checkWait,
  type Encoding,
  type Peer,
  type Protocol,
  type Sendable,
  type SocketType,
  type WaitOptions,
} from '../options/check.js'
import { WatchedEmitter } from '../util/emitter.js'
import { closedError, conflict, FdwireError } from '../util/errors.js'
import { Queue } from '../util/queue.js'
import type { Message } from '../wire/message.js'
import { errorOf, type Notice } from '../wire/records.js'
import type { ChannelEvents, RequestOptions } from './events.js'
import { Flushes } from './flushes.js'
import { Inbox } from './inbox.js'
import { Iteration } from './iteration.js'
import { CLOSE_TIMEOUT, Lifetime } from './lifetime.js'
import { peerOf } from './peer.js'
import { type Port, SocketPort } from './port.js'
import { Sender, type SendOptions, undeliveredError } from './sender.js'
import { type ChannelStats, readStats } from './stats.js'

const undeliveredChannel = diagnostics('fdwire:undelivered')

/**
 * Messages, and descriptors beside them, both ways over a socket.
 *
 * Made by `connect`, `listen`, `bind`, `pair`, `adopt` and `over`. See docs/api.md for what it
 * promises.
 */
export class Channel<V = unknown> extends WatchedEmitter<ChannelEvents<V>> {
  /** The framing. */
  readonly protocol: Protocol
  /** The socket's type. */
  readonly type: SocketType
  /** @internal What a message is. */
  readonly encoding: Encoding | undefined
  readonly #owner: ChannelHandle
  readonly #port: Port
  readonly #capturesRejections: boolean
  readonly #onClosed: (() => void) | undefined
  readonly #context = new AsyncResource('FDWIRECHANNEL')
  readonly #inbox: Inbox
  readonly #sender: Sender
  readonly #flushes: Flushes
  readonly #lifetime: Lifetime
  /** What is left to tell of records that are no messages. */
  readonly #notices = new Queue<Notice>()
  #referenced = true
  #lastStats: ChannelStats | undefined

  /** @internal Channels are made by `connect`, `listen` and the like; `port` carries the bytes. */
  constructor(index: number, options: CheckedOptions, port?: Port, onClosed?: () => void) {
    super({ captureRejections: options.captureRejections })
    this.protocol = options.protocol
    this.type = options.type
    this.encoding = options.encoding
    this.#capturesRejections = options.captureRejections
    this.#owner = new ChannelHandle(index)
    const stream = options.type === 'stream'
    this.#port = port ?? new SocketPort(index, stream)
    const connected = stream || environment.peerAddress(index) !== null
    this.#sender = new Sender(this.#owner, options, connected, this.#port.flushSoon)
    this.#inbox = new Inbox(this.#owner, this.#port, this, this.#context, options, from =>
      this.#sender.note(from),
    )
    this.#flushes = new Flushes(this.#owner)
    this.#onClosed = onClosed
    this.#lifetime = new Lifetime(this, {
      context: this.#context,
      allowHalfOpen: options.allowHalfOpen,
      port: this.#port,
      sender: this.#sender,
      inbox: this.#inbox,
      flushes: this.#flushes,
    })
    register(index, this)
    countReferenced(1)
  }

  /** The socket's descriptor, lent; -1 once the channel is closed. */
  get fd(): number {
    return this.#owner.index < 0 ? -1 : environment.fd(this.#owner.index)
  }

  /** Whether the socket is closed. */
  get closed(): boolean {
    return this.#lifetime.closed
  }

  /** The socket's own name: null where it has none, or is closed. */
  get localAddress(): string | Buffer | TcpAddress | null {
    const { index } = this.#owner
    return (index < 0 ? undefined : decodeName(environment.localAddress(index))) ?? null
  }

  /** The peer's name: null where it has none, undefined where there is no peer, or it is closed. */
  get remoteAddress(): string | Buffer | TcpAddress | null | undefined {
    const { index } = this.#owner
    return index < 0 ? undefined : decodeName(environment.peerAddress(index))
  }

  /**
   * Who is at the other end: the process that made the socket there, as the kernel saw it then, or
   * the address of a TCP socket. Undefined where nobody knows, or the channel is closed.
   */
  get peer(): Peer | undefined {
    return peerOf(this.#owner)
  }

  /** What was done so far, and what waits. */
  get stats(): ChannelStats {
    const stats = this.keepStats()
    // What came by it may be closed later than the channel.
    return this.#owner.index >= 0 ? stats : { ...stats, openFds: this.#owner.openFds }
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
  send(value: Sendable<V>, options?: SendOptions): boolean {
    return this.#sender.send(value, options) === 0
  }

  /**
   * Sends many messages, the same bytes as `send` one by one, faster.
   *
   * # Errors
   * As `send`. For a value that can't be encoded `error.index` is its index, and none was sent; for
   * the kernel's errors and a full queue `error.sent` is how many were.
   */
  sendAll(values: Iterable<Sendable<V>>, options?: SendOptions): boolean {
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
  request(value: Sendable<V>, options: RequestOptions = {}): Promise<Message<V>> {
    try {
      checkIsObject('request', options)
      const { timeout, signal, ...sending } = options
      const how = checkWait('request', { timeout, signal })
      this.#lifetime.checkLive('request')
      if (this.#lifetime.ended) throw closedError('request')
      const sent = this.#sender.send(value, sending, 'request')
      // A stream's number is a place in it, and no message of it is given up alone.
      const seq = this.type === 'stream' ? 0 : sent
      const replyFrom = sending.to ?? null
      return this.#inbox.wait({ ...how, replyFrom, seq }) as Promise<Message<V>>
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /**
   * Resolves when the kernel has everything that was sent before.
   *
   * # Errors
   * The reason, where one of these messages was given up.
   */
  async flush(): Promise<void> {
    this.#lifetime.checkLive('flush')
    // It has failed behind messages that nobody has taken: nothing more goes out.
    if (this.#lifetime.failure !== undefined) throw this.#lifetime.failure
    this.#port.flush()
    await this.#flushes.wait()
  }

  /**
   * Ends our side when everything is sent; what the peer sends still comes.
   *
   * # Errors
   * ERR_FDWIRE_CLOSED; a TypeError on a datagram socket, whose peer would not notice.
   */
  end(): this {
    if (this.type === 'dgram') {
      throw new TypeError('end: a datagram socket has no end that a peer would notice; use close()')
    }
    this.#lifetime.finish()
    return this
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
    return this.#lifetime.close(checkTimeout(options.timeout, CLOSE_TIMEOUT))
  }

  /** Closes at once, and drops what is queued. With an error, that is why: see `'error'`. */
  destroy(error?: Error): this {
    this.#lifetime.destroy(error)
    return this
  }

  /** Holds `'message'` from the next message on; `receive()` and `request()` still take. */
  pause(): this {
    this.#lifetime.checkOpen('pause')
    this.#inbox.paused = true
    return this
  }

  /** Ends `pause()`. */
  resume(): this {
    this.#lifetime.checkOpen('resume')
    this.#inbox.paused = false
    return this
  }

  /** Whether `pause()` is in force. */
  isPaused(): boolean {
    return this.#inbox.paused
  }

  /** Keeps the process alive as long as the channel is open: the default. */
  ref(): this {
    if (this.closed) throw closedError('ref')
    if (!this.#referenced) countReferenced(1)
    this.#referenced = true
    return this
  }

  /** Lets the process end though the channel is open, even if something is queued. */
  unref(): this {
    if (this.closed) throw closedError('unref')
    if (this.#referenced) countReferenced(-1)
    this.#referenced = false
    return this
  }

  /**
   * Gives up the channel and returns its descriptor, open, for another thread or process to adopt.
   *
   * # Errors
   * ERR_FDWIRE_NOT_QUIET when something is queued, was read and not taken, is waited for, or is to be
   * told in this turn.
   */
  detach(): number {
    this.#lifetime.checkOpen('detach')
    if (this.fd < 0) throw new TypeError('detach: this channel has no socket of its own')
    this.#port.flush()
    const { queued, unread, inHand } = this.stats
    const { waiting } = this.#inbox
    // What the kernel has said once it will not say again: that a message was given up, an error.
    const untold = this.#notices.length + this.#inbox.untold
    if (queued > 0 || unread > 0 || inHand > 0 || waiting > 0 || untold > 0) {
      throw new FdwireError(
        'ERR_FDWIRE_NOT_QUIET',
        `detach: ${queued} messages are queued, ${unread} were read and not taken, ` +
          `${inHand} bytes of the next one were read, ${waiting} calls wait, ` +
          `${untold} events are to be told`,
      )
    }
    return this.#lifetime.moveOut()
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
    return new Iteration<V>({
      begin: () => this.#inbox.beginIterating(),
      next: async () => {
        // One that was closed is at its end; one that failed says so.
        if (this.#lifetime.error === undefined && this.#lifetime.stopped) return null
        return this.#receive({}, false)
      },
      finish: () => {
        this.#inbox.endIterating()
        return this.#lifetime.unheard()
      },
    })
  }

  /** The same as `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** What `captureRejections` calls. */
  override [captureRejectionSymbol](error: Error): void {
    this.destroy(error)
  }

  /** @internal Lets malformed messages wait for `receiveStrictly`. */
  keepMalformed(): void {
    this.#inbox.keepMalformed()
  }

  /** @internal As `receive()`, but rejects for a malformed message. */
  receiveStrictly(options: WaitOptions = {}): Promise<Message<V> | null> {
    return this.#receive(options, true)
  }

  /** @internal Sends a message, and resolves when the kernel has it, whatever else is queued. */
  async sendAndFlush(value: unknown, options: SendOptions = {}): Promise<void> {
    this.#lifetime.checkLive('send')
    const seq = this.#sender.send(value, options)
    if (this.type === 'stream') await this.flush()
    else if (seq > 0) await this.#flushes.waitFor(seq, options.to)
  }

  /** @internal Native code has `records` records for this channel. */
  onTurn(records: number): void {
    this.#context.runInAsyncScope(this.#turn, this, records)
  }

  /** @internal The inbox has handed out what was kept. */
  onHandedOut(): void {
    this.#lifetime.tellLast()
  }

  /** @internal What was done until the socket is closed is known for ever. */
  keepStats(): ChannelStats {
    if (this.#owner.index >= 0) this.#lastStats = readStats(this.#owner.index, this.#inbox)
    return this.#lastStats as ChannelStats
  }

  /** @internal Forgets the socket, which is closed or given away then. */
  forget(): void {
    while (this.#notices.length > 0) this.#notices.shift()
    if (this.#referenced) countReferenced(-1)
    // What nobody will get any more is closed by now.
    this.#owner.leave()
    this.#onClosed?.()
  }

  protected override beforeListener(event: keyof ChannelEvents<V>): void {
    if (event === 'message' && this.#inbox.iterating) {
      throw conflict('an iterator takes the messages of this channel')
    }
  }

  protected override listenersChanged(): void {
    const listeners = this.rawListeners('message')
    const lone = listeners.length === 1 && !this.#capturesRejections ? listeners[0] : undefined
    this.#inbox.setListeners(listeners.length, lone)
  }

  #turn(records: number): void {
    this.#inbox.read(records, this.#notices)
    if (this.#notices.length > 0) this.#flushes.beginTurn()
    // Where something throws, native code comes back for the rest.
    this.#inbox.deliver()
    while (this.#notices.length > 0) this.#tell(this.#notices.shift() as Notice)
    this.#inbox.updateWant()
    this.#lifetime.tellLast()
  }

  /** Does what a record that is no message is about. */
  #tell(notice: Notice): void {
    const { kind, name } = notice
    switch (kind) {
      case RecordKind.Drained:
        this.#flushes.settleAll(name)
        if (!this.#lifetime.stopped) this.emit('drain', name)
        break
      case RecordKind.Undelivered:
        this.#reportUndelivered(notice.place, this.#flushes.wholeNumber(notice.detail), name)
        break
      case RecordKind.FdsHeld:
        this.#inbox.warnHeld()
        break
      case RecordKind.End:
      case RecordKind.Cut:
      case RecordKind.Lost:
      case RecordKind.Failed:
        this.#lifetime.endWith(errorOf(notice, this.protocol !== 'socket_protocol'))
        break
      default:
        this.#flushes.settle()
    }
  }

  #reportUndelivered(errno: number, seq: number, to: Address | undefined): void {
    const error = undeliveredError(errno, to)
    this.#inbox.fail(seq, error)
    this.#flushes.fail(seq, error)
    this.#flushes.settle()
    if (undeliveredChannel.hasSubscribers) undeliveredChannel.publish({ channel: this, error, to })
    this.emit('undelivered', error, { to })
  }

  #receive(options: WaitOptions, takesMalformed: boolean): Promise<Message<V> | null> {
    try {
      this.#lifetime.check()
      if (this.#lifetime.ended) return Promise.resolve(null)
      this.#lifetime.checkOpen('receive')
      const how = checkWait('receive', options)
      const message = this.#inbox.wait({ ...how, takesMalformed })
      this.#lifetime.tellLast()
      return message as Promise<Message<V> | null>
    } catch (error) {
      return Promise.reject(error)
    }
  }
}
