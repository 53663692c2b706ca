/** stockings in the words of its original: whole texts or bytes over a stream, after a handshake. */

import type { Socket } from 'node:net'
import type { Channel } from '../../channel/channel.js'
import type { TcpAddress } from '../../options/address.js'
import { checkIsObject, checkTimeout } from '../../options/check.js'
import { checkInteger } from '../../util/checks.js'
import { WatchedEmitter } from '../../util/emitter.js'
import { closedError, FdwireError, timeoutError } from '../../util/errors.js'
import { channelOf } from './channel-of.js'
import { EOFError, NotReady } from './errors.js'
import type { StockingEvents, StockingOptions } from './types.js'
import { Unread, type Value } from './unread.js'

export { EOFError, NotReady } from './errors.js'
export type { StockingEvents, StockingOptions } from './types.js'

/** How long a handshake may take (ms). */
const HANDSHAKE_TIMEOUT = 10_000
/** What may wait to be read (bytes). */
const MAX_UNREAD = 1024 * 1024

/**
 * Whole texts and bytes both ways over a stream socket, with a handshake before them.
 *
 * The vocabulary is that of the Python package `stockings`. To be subclassed: `handshake`, `preWrite`
 * and `postRead` are hooks. What the handshake waits for is a promise here, `read()` is not.
 */
export class Stocking<R = Value> extends WatchedEmitter<StockingEvents> {
  /** The channel underneath. */
  readonly channel: Channel<Value>
  /** The remote address, as it was in the beginning. */
  readonly addr: string | Buffer | TcpAddress | null | undefined
  /**
   * Resolves with the handshake's result, rejects with the reason why there is none.
   *
   * It may be ignored: `read()` and `write()` tell too.
   */
  readonly ready: Promise<unknown>
  readonly #handshakeTimeout: number
  readonly #unread: Unread
  /** `_read()` calls that wait, in their order; undefined tells that nothing comes any more. */
  readonly #waiting: ((value: Value | undefined) => void)[] = []
  #resolveReady!: (result: unknown) => void
  #rejectReady!: (reason: unknown) => void
  #handshake: 'pending' | 'complete' | 'failed' = 'pending'
  #result: unknown = false
  #reason: unknown
  #timer: NodeJS.Timeout | undefined
  #paused = false
  /** How the peer has ended: nothing more comes. */
  #over: { error: Error | undefined } | undefined
  /** That was told, or somebody else closed first. */
  #told = false
  /** This side has closed, or had to. */
  #left = false
  #channelClosed = false
  #closed = false

  /**
   * Wraps a channel of stockings, or the descriptor of a connected stream socket, or a `net.Socket`;
   * the latter two as `adopt` does, whose options it takes then.
   *
   * # Errors
   * Those of `adopt`; ERR_FDWIRE_CLOSED, ERR_FDWIRE_CONSUMER_CONFLICT for a channel.
   */
  constructor(socket: Channel<Value> | Socket | number, options: StockingOptions = {}) {
    super()
    checkIsObject('Stocking', options)
    const { handshakeTimeout, maxUnread, ...rest } = options
    this.#handshakeTimeout = checkTimeout(handshakeTimeout, HANDSHAKE_TIMEOUT)
    this.#unread = new Unread(checkInteger('maxUnread', maxUnread, MAX_UNREAD, 1))
    this.channel = channelOf(socket, rest)
    this.addr = this.channel.remoteAddress
    this.ready = new Promise((resolve, reject) => {
      this.#resolveReady = resolve
      this.#rejectReady = reject
    })
    this.ready.catch(() => {})
    this.#listen()
    // The fields of a subclass don't exist before its constructor is done.
    queueMicrotask(() => this.#begin())
  }

  /** The channel underneath, which is the socket here. */
  get sock(): Channel<Value> {
    return this.channel
  }

  /** What the handshake has returned; false before. */
  get handshakeComplete(): unknown {
    return this.#result
  }

  /** Whether it still runs: neither the peer nor this side has closed. */
  get active(): boolean {
    return !this.#left && this.#over === undefined
  }

  /** Messages that `read()` would give, one after the other. */
  get unread(): number {
    return this.#handshake === 'complete' ? this.#unread.length : 0
  }

  /**
   * Reads a message, through `postRead`; null when there is none now, or this side has closed.
   *
   * # Errors
   * NotReady before the handshake is complete and after it has failed; EOFError when the peer has
   * closed and all was read.
   */
  read(): R | null {
    this.#checkReady('read')
    const value = this.#take()
    if (value !== undefined) return this.postRead(value)
    if (this.active || this.#left) return null
    throw new EOFError(this.#over?.error)
  }

  /**
   * Writes a message: what `preWrite` makes of the arguments.
   *
   * Returns false when it had to be queued: wait for `'drain'`. After the peer's end it is false too,
   * and the message goes nowhere.
   *
   * # Errors
   * NotReady as for `read`; ERR_FDWIRE_CLOSED after `close()`; those of `Channel.send`.
   */
  // biome-ignore lint/suspicious/noExplicitAny: a subclass's `preWrite` says what it takes
  write(...args: any[]): boolean {
    this.#checkReady('write')
    return this._write(this.preWrite(...args))
  }

  /** Makes a message of what `write` was called with: the first argument. */
  // biome-ignore lint/suspicious/noExplicitAny: a subclass says what it takes
  preWrite(...args: any[]): string | ArrayBufferView {
    return args[0]
  }

  /** Makes of a message what `read` gives: itself. */
  postRead(message: Value): R {
    return message as R
  }

  /**
   * Agrees with the peer by `_read` and `_write` before anything else is read or written.
   *
   * What is returned, or what the promise of it resolves to, is `handshakeComplete`; what is falsy
   * there, and what is thrown, closes the connection. Without an override no byte is sent.
   */
  handshake(): unknown {
    return true
  }

  /**
   * The next message as it came, for the handshake.
   *
   * # Errors
   * EOFError when the peer has closed; ERR_FDWIRE_CLOSED, ERR_FDWIRE_TIMEOUT when this side has.
   */
  async _read(): Promise<Value> {
    const value = await this.#next()
    if (value !== undefined) return value
    if (!this.#left) throw new EOFError(this.#over?.error)
    throw this.#reason ?? closedError('_read')
  }

  /**
   * Sends a message as it is, for the handshake; returns and fails as `write`.
   *
   * # Errors
   * ERR_FDWIRE_CLOSED after `close()`; those of `Channel.send`.
   */
  _write(message: string | ArrayBufferView): boolean {
    if (this.#left) throw closedError('write')
    try {
      return this.channel.send(message as Value)
    } catch (error) {
      // Who writes can't know that the peer has just closed; who reads hears of it.
      if ((error as FdwireError).code === 'ERR_FDWIRE_CLOSED') return false
      throw error
    }
  }

  /** Whether bytes wait to be sent. */
  writeDataQueued(): boolean {
    return !this.channel.closed && this.channel.stats.queuedBytes > 0
  }

  /**
   * The descriptor's number, lent; -1 where there is none any more.
   *
   * `'readable'` and iteration tell what there is to read, and not this: it has been taken from there.
   */
  fileno(): number {
    return this.channel.fd
  }

  /**
   * Sends what is queued, then closes; what is unread is dropped. A second call does nothing more.
   *
   * # Errors
   * Those of `Channel.close`.
   */
  close(options: { timeout?: number | undefined } = {}): Promise<void> {
    const closing = this.channel.close(options)
    this.#leave(closedError('handshake'))
    return closing
  }

  /** Closes at once, and drops what is queued. */
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
   * What `read()` gives, for `for await`; ends when either side has closed. `break` closes nothing.
   *
   * # Errors
   * Throws why the handshake or the connection has failed.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<R, undefined, undefined> {
    await this.ready
    for (;;) {
      const value = await this.#next()
      if (value !== undefined) {
        yield this.postRead(value)
        continue
      }
      if (!this.#left && this.#over?.error !== undefined) throw this.#over.error
      return undefined
    }
  }

  /** Who listens late hears of what is there already. */
  protected override beforeListener(event: keyof StockingEvents): void {
    if (event === 'readable' && this.unread > 0) this.#notifySoon()
  }

  protected override listenersChanged(): void {}

  #listen(): void {
    const { channel } = this
    channel.on('message', value => this.#receive(value))
    channel.on('malformed', error => this.emit('malformed', error))
    channel.on('drain', () => this.emit('drain'))
    channel.on('end', () => this.#finish(undefined))
    channel.on('error', error => this.#finish(error))
    channel.on('close', () => {
      this.#channelClosed = true
      // Somebody has closed the channel itself.
      if (this.#over === undefined) this.#leave(closedError('handshake'))
      this.#tellClosed()
    })
  }

  #begin(): void {
    if (this.#handshake !== 'pending') return
    try {
      const result = this.handshake()
      if (!isThenable(result)) {
        this.#complete(result)
        return
      }
      if (this.#handshakeTimeout > 0) this.#limit(this.#handshakeTimeout)
      Promise.resolve(result).then(
        value => this.#complete(value),
        reason => this.#fail(reason),
      )
    } catch (error) {
      this.#fail(error)
    }
  }

  #limit(timeout: number): void {
    if (this.#handshake !== 'pending') return
    // The channel keeps the process alive, and not the time limit.
    this.#timer = setTimeout(() => {
      // Whoever takes no part in a handshake gets no time to read last words either.
      this.channel.destroy()
      this.#fail(timeoutError('The handshake was not complete', timeout))
    }, timeout).unref()
  }

  #complete(result: unknown): void {
    if (this.#handshake !== 'pending') return
    this.#result = result
    if (!result) {
      this.#fail(new FdwireError('ERR_FDWIRE_HANDSHAKE', `The handshake returned ${result}`))
      return
    }
    this.#handshake = 'complete'
    clearTimeout(this.#timer)
    this.#resolveReady(result)
    process.nextTick(() => this.emit('ready', result))
    this.#notifySoon()
    this.#tellEnd()
  }

  /** Closes the connection; what the handshake has sent still goes out. */
  #fail(reason: unknown): void {
    if (this.#handshake !== 'pending') return
    this.channel.close().catch(() => {})
    this.#leave(reason)
    if (this.listenerCount('error') > 0) {
      process.nextTick(() => this.emit('error', reason as Error))
    }
  }

  #receive(value: Value): void {
    const waiter = this.#waiting.shift()
    if (waiter !== undefined) {
      waiter(value)
      return
    }
    this.#unread.push(value)
    if (this.#unread.isFull) {
      this.#paused = true
      this.channel.pause()
    }
    this.#notify()
  }

  /** As polling the original's descriptor would, as long as somebody answers by reading. */
  #notify(): void {
    let before: number
    do {
      before = this.unread
      if (before > 0) this.emit('readable')
    } while (this.unread > 0 && this.unread < before)
  }

  #notifySoon(): void {
    process.nextTick(() => this.#notify())
  }

  #take(): Value | undefined {
    const value = this.#unread.shift()
    if (value === undefined) return undefined
    if (this.#paused && this.#unread.hasRoom) this.#resume()
    this.#tellEnd()
    return value
  }

  #resume(): void {
    this.#paused = false
    try {
      this.channel.resume()
    } catch {
      // It was closed meanwhile: nothing comes any more, and its own events say so.
    }
  }

  /** The next message, when it comes; undefined where none does. */
  #next(): Promise<Value | undefined> {
    const value = this.#take()
    if (value !== undefined || !this.active) return Promise.resolve(value)
    return new Promise(resolve => this.#waiting.push(resolve))
  }

  #finish(error: Error | undefined): void {
    this.#over ??= { error }
    this.#release()
    this.#tellEnd()
  }

  /** This side goes: nothing is delivered any more, and a handshake under way has failed. */
  #leave(reason: unknown): void {
    if (this.#left) return
    this.#left = true
    clearTimeout(this.#timer)
    this.#unread.clear()
    if (this.#handshake === 'pending') {
      this.#handshake = 'failed'
      this.#reason = reason
      this.#rejectReady(reason)
    }
    this.#release()
    this.#tellClosed()
  }

  /** Tells who waits that nothing comes any more. */
  #release(): void {
    for (const resolve of this.#waiting.splice(0)) resolve(undefined)
  }

  /** Tells how the peer has ended, when all before that was read. */
  #tellEnd(): void {
    if (this.#over === undefined || this.#told || this.#left) return
    if (this.#unread.length > 0 || this.#handshake === 'pending') return
    this.#told = true
    const { error } = this.#over
    process.nextTick(() => {
      try {
        if (this.#left) return
        if (error === undefined) this.emit('end')
        else if (this.listenerCount('error') > 0) this.emit('error', error)
      } finally {
        this.#tellClosed()
      }
    })
  }

  #tellClosed(): void {
    if (this.#closed || !this.#channelClosed || !(this.#told || this.#left)) return
    this.#closed = true
    process.nextTick(() => this.emit('close'))
  }

  #checkReady(call: string): void {
    if (this.#handshake === 'complete') return
    throw new NotReady(call, this.#handshake === 'failed' ? { reason: this.#reason } : undefined)
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function'
}
