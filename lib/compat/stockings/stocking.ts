import type { Socket } from 'node:net'
import type { Channel } from '../../channel/channel.js'
import type { TcpAddress } from '../../options/address.js'
import { checkIsObject } from '../../options/check.js'
import { checkInteger, describeValue } from '../../util/checks.js'
import { WatchedEmitter } from '../../util/emitter.js'
import { closedError, FdwireError, isClosed } from '../../util/errors.js'
import { NO_OPTIONS } from '../../util/no-options.js'
import { nextTick, queueMicrotask } from '../../util/timers.js'
import { EOFError, NotReady } from './errors.js'
import { Handshake } from './handshake.js'
import { channelOf } from './socket-channel.js'
import type { StockingEvents, StockingOptions, Value } from './types.js'
import { UnreadQueue } from './unread-queue.js'

/** Default of `handshakeTimeout` (ms). */
const HANDSHAKE_TIMEOUT = 10_000
/** Default of `maxUnread` (bytes). */
const MAX_UNREAD = 1024 * 1024

/**
 * The state of the connection, as its user sees it.
 *
 * - `open`: neither side has closed.
 * - `peer-ended`: the peer has closed; messages are unread, or the handshake is pending.
 * - `ended`: every message was read. `'end'` or `'error'` was emitted, or follows in the next tick.
 * - `closed`: this side has closed. Nothing more is delivered.
 */
type State = 'open' | 'peer-ended' | 'ended' | 'closed'

/**
 * Text and bytes in both directions over a stream socket, after a handshake.
 *
 * Names are those of the Python package `stockings`. Subclasses override the hooks `handshake`,
 * `preWrite` and `postRead`. During the handshake `_read()` returns a promise; `read()` never
 * waits.
 */
export class Stocking<R = Value> extends WatchedEmitter<StockingEvents> {
  /** The channel underneath. */
  readonly channel: Channel<Value>
  /** The remote address, which does not change after the end. */
  readonly addr: string | Buffer | TcpAddress | null | undefined
  /**
   * Resolves to the handshake's result, or rejects with the reason of its failure.
   *
   * It may be ignored: `read()` and `write()` throw NotReady with the same reason as `cause`.
   */
  readonly ready: Promise<unknown>
  readonly #handshake = new Handshake()
  readonly #handshakeTimeout: number
  readonly #unread: UnreadQueue
  /** Resolves the pending `_read()` and `next()` calls, in call order; undefined at the end. */
  readonly #readers: ((value: Value | undefined) => void)[] = []
  #state: State = 'open'
  /** The error with which the peer's side ended; undefined for a clean end. */
  #peerError: Error | undefined
  /** `'close'` is due when the channel has closed, and emitted when `#state` allows it. */
  #closeEvent: 'not-due' | 'due' | 'emitted' = 'not-due'
  #result: unknown = false

  /**
   * Wraps a stockings channel, the descriptor of a connected stream socket, or a `net.Socket`.
   *
   * A descriptor or `net.Socket` is adopted: `options` may include those of fdwire's `adopt`.
   *
   * # Errors
   * Those of `adopt`; ERR_FDWIRE_CLOSED and ERR_FDWIRE_CONSUMER_CONFLICT for a channel.
   */
  constructor(socket: Channel<Value> | Socket | number, options: StockingOptions = NO_OPTIONS) {
    super()
    checkIsObject('Stocking', options)
    const { handshakeTimeout, maxUnread, ...rest } = options
    const timeout = checkInteger('handshakeTimeout', handshakeTimeout, HANDSHAKE_TIMEOUT, 0)
    const limit = checkInteger('maxUnread', maxUnread, MAX_UNREAD, 1)
    this.#handshakeTimeout = timeout
    this.channel = channelOf(socket, rest)
    this.addr = this.channel.remoteAddress
    this.ready = this.#handshake.ready
    this.#unread = new UnreadQueue(this.channel, limit)
    this.#listen()
    // The fields of a subclass do not exist before its constructor has returned.
    queueMicrotask(() => this.#begin())
  }

  /** The same as `channel`, under its name in the original. */
  get sock(): Channel<Value> {
    return this.channel
  }

  /** The result of `handshake()`; false before it is complete. */
  get handshakeComplete(): unknown {
    return this.#result
  }

  /** Whether neither the peer nor this side has closed. */
  get active(): boolean {
    return this.#state === 'open'
  }

  /** The number of messages that `read()` can return now. */
  get unread(): number {
    return this.#handshake.state === 'complete' ? this.#unread.length : 0
  }

  /**
   * Returns the next message, converted by `postRead`.
   *
   * Returns null if no message has arrived, and after `close()`.
   *
   * # Errors
   * NotReady before the handshake is complete, and after it has failed; EOFError when the peer has
   * closed and every message was read.
   */
  read(): R | null {
    this.#checkReady('read')
    const value = this.#take()
    if (value !== undefined) return this.postRead(value)
    if (this.#state === 'open' || this.#state === 'closed') return null
    throw new EOFError(this.#peerError)
  }

  /**
   * Sends the message that `preWrite` makes from the arguments.
   *
   * Returns false when the message had to be queued: wait for `'drain'`. Also returns false after
   * the peer has closed, and then drops the message.
   *
   * # Errors
   * NotReady as `read()`; ERR_FDWIRE_CLOSED after `close()`; those of `Channel.send`.
   */
  // biome-ignore lint/suspicious/noExplicitAny: a subclass's `preWrite` declares its arguments
  write(...args: any[]): boolean {
    this.#checkReady('write')
    return this._write(this.preWrite(...args))
  }

  /** Converts the arguments of `write` to a message. The default returns the first argument. */
  // biome-ignore lint/suspicious/noExplicitAny: a subclass declares its arguments
  preWrite(...args: any[]): string | ArrayBufferView {
    return args[0]
  }

  /** Converts a message to the result of `read`. The default returns the message. */
  postRead(message: Value): R {
    return message as R
  }

  /**
   * Exchanges the first messages with the peer, by `_read` and `_write`. Subclasses may override
   * it; the default sends nothing and succeeds.
   *
   * May return a promise. The result becomes `handshakeComplete`. If the result is falsy, or if
   * this throws, the connection is closed.
   */
  handshake(): unknown {
    return true
  }

  /**
   * Waits for the next message, without `postRead`: for the handshake.
   *
   * # Errors
   * EOFError when the peer has closed; ERR_FDWIRE_CLOSED after `close()`; ERR_FDWIRE_TIMEOUT after
   * the handshake has timed out.
   */
  async _read(): Promise<Value> {
    const value = await this.#next()
    if (value !== undefined) return value
    if (this.#state !== 'closed') throw new EOFError(this.#peerError)
    throw this.#handshake.reason ?? closedError('_read')
  }

  /**
   * Sends a message without `preWrite`: for the handshake. Returns what `write` returns.
   *
   * # Errors
   * ERR_FDWIRE_CLOSED after `close()`; those of `Channel.send`.
   */
  _write(message: string | ArrayBufferView): boolean {
    if (this.#state === 'closed') throw closedError('write')
    try {
      return this.channel.send(message as Value)
    } catch (error) {
      // A writer cannot know that the peer has closed. `read` reports the end.
      if (isClosed(error)) return false
      throw error
    }
  }

  /** Whether bytes are queued for sending. */
  writeDataQueued(): boolean {
    return !this.channel.closed && this.channel.stats.queuedBytes > 0
  }

  /**
   * Returns the descriptor, which the socket still owns; -1 when it is closed.
   *
   * Do not poll it for messages, which fdwire reads as they arrive: use `'readable'` or iterate.
   */
  fileno(): number {
    return this.channel.fd
  }

  /**
   * Sends the queue, then closes (`timeout`: ms, 10,000; 0: no limit). Drops unread messages.
   *
   * # Errors
   * Those of `Channel.close`.
   */
  close(options: { timeout?: number | undefined } = NO_OPTIONS): Promise<void> {
    const closing = this.channel.close(options)
    this.#leave(closedError('handshake'))
    return closing
  }

  /** Closes at once. Drops the queue and unread messages. */
  destroy(): this {
    this.channel.destroy()
    this.#leave(closedError('handshake'))
    return this
  }

  /** The same as `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /**
   * Yields messages, converted by `postRead`, until either side has closed. `break` closes nothing.
   *
   * # Errors
   * The reason of a failed handshake; the error that ended the connection.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<R, undefined, undefined> {
    await this.ready
    for (;;) {
      const value = await this.#next()
      if (value !== undefined) {
        yield this.postRead(value)
        continue
      }
      if (this.#state !== 'closed' && this.#peerError !== undefined) throw this.#peerError
      return undefined
    }
  }

  /** Emits `'readable'` for messages that are already unread when a listener is added. */
  protected override beforeListener(event: keyof StockingEvents): void {
    if (event === 'readable' && this.unread > 0) nextTick(() => this.#emitReadable())
  }

  protected override listenersChanged(): void {}

  #listen(): void {
    const { channel } = this
    channel.on('message', value => this.#receive(value))
    channel.on('malformed', error => this.emit('malformed', error))
    channel.on('drain', () => this.emit('drain'))
    channel.on('end', () => this.#onPeerEnd(undefined))
    channel.on('error', error => this.#onPeerEnd(error))
    channel.on('close', () => {
      this.#closeEvent = 'due'
      // Neither `end` nor `error` came first: the channel itself was closed.
      if (this.#state === 'open') this.#leave(closedError('handshake'))
      this.#emitClose()
    })
  }

  #begin(): void {
    if (this.#handshake.state !== 'pending') return
    try {
      const result = this.handshake()
      if (typeof (result as Partial<PromiseLike<unknown>> | null)?.then !== 'function') {
        this.#complete(result)
        return
      }
      this.#handshake.limit(this.#handshakeTimeout, error => {
        // `close()` would wait for the peer, which does not respond.
        this.channel.destroy()
        this.#fail(error)
      })
      Promise.resolve(result).then(
        value => this.#complete(value),
        reason => this.#fail(reason),
      )
    } catch (error) {
      this.#fail(error)
    }
  }

  #complete(result: unknown): void {
    if (this.#handshake.state !== 'pending') return
    this.#result = result
    if (!result) {
      const message = `The handshake has failed: handshake() returned ${describeValue(result)}`
      this.#fail(new FdwireError('ERR_FDWIRE_HANDSHAKE', message))
      return
    }
    this.#handshake.complete(result)
    nextTick(() => this.emit('ready', result))
    nextTick(() => this.#emitReadable())
    this.#emitEnd()
  }

  /** Fails the handshake. Closes the connection after the messages of the handshake were sent. */
  #fail(reason: unknown): void {
    if (this.#handshake.state !== 'pending') return
    this.channel.close().catch(() => {})
    this.#leave(reason)
    if (this.listenerCount('error') > 0) {
      nextTick(() => this.emit('error', reason as Error))
    }
  }

  #receive(value: Value): void {
    const reader = this.#readers.shift()
    if (reader !== undefined) {
      reader(value)
      return
    }
    this.#unread.push(value)
    this.#emitReadable()
  }

  /** Emits `'readable'` again while messages are unread and listeners have read some of them. */
  #emitReadable(): void {
    let before: number
    do {
      before = this.unread
      if (before > 0) this.emit('readable')
    } while (this.unread > 0 && this.unread < before)
  }

  #take(): Value | undefined {
    const value = this.#unread.shift()
    if (value !== undefined) this.#emitEnd()
    return value
  }

  /** Waits for the next message; undefined at the end. */
  #next(): Promise<Value | undefined> {
    const value = this.#take()
    if (value !== undefined || this.#state !== 'open') return Promise.resolve(value)
    return new Promise(resolve => this.#readers.push(resolve))
  }

  #onPeerEnd(error: Error | undefined): void {
    if (this.#state === 'open') {
      this.#state = 'peer-ended'
      this.#peerError = error
    }
    this.#releaseReaders()
    this.#emitEnd()
  }

  /** Stops delivery on this side; a pending handshake fails with `reason`. */
  #leave(reason: unknown): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#unread.clear()
    this.#handshake.fail(reason)
    this.#releaseReaders()
    this.#emitClose()
  }

  #releaseReaders(): void {
    for (const resolve of this.#readers.splice(0)) resolve(undefined)
  }

  /** Emits `'end'` or `'error'` in the next tick, once every message was read. */
  #emitEnd(): void {
    if (this.#state !== 'peer-ended') return
    if (this.#unread.length > 0 || this.#handshake.state === 'pending') return
    this.#state = 'ended'
    const error = this.#peerError
    nextTick(() => {
      try {
        if (this.#state === 'closed') return
        if (error === undefined) this.emit('end')
        else if (this.listenerCount('error') > 0) this.emit('error', error)
      } finally {
        this.#emitClose()
      }
    })
  }

  #emitClose(): void {
    if (this.#closeEvent !== 'due') return
    if (this.#state === 'open' || this.#state === 'peer-ended') return
    this.#closeEvent = 'emitted'
    nextTick(() => this.emit('close'))
  }

  #checkReady(call: string): void {
    const { state, reason } = this.#handshake
    if (state !== 'complete') throw new NotReady(call, state === 'failed' ? { reason } : undefined)
  }
}
