import { AsyncResource } from 'node:async_hooks'
import { captureRejectionSymbol } from 'node:events'
import { RecordKind } from '#native'
import { Channel } from '../channel/channel.js'
import { countReferenced, environment, register, unregister } from '../native/environment.js'
import { decodeName, type TcpAddress } from '../options/address.js'
import type { CheckedOptions, checkWait } from '../options/check.js'
import { WatchedEmitter } from '../util/emitter.js'
import { abortError, closedError, conflict, systemError, timeoutError } from '../util/errors.js'
import { Queue } from '../util/queue.js'
import { readNotice } from '../wire/records.js'

/** Connections that one turn brings at the most, so that others have theirs. */
const ACCEPTS = 64

/** The pauses after the process or the system has no descriptor left: the first, the longest (ms). */
const PAUSES = [10, 1_000] as const

const PASSING = new Set(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM'])

/** Why a connection was dropped. */
export interface Drop {
  reason: 'allowPeer' | 'handshake'
  /** What `allowPeer` threw, or how the handshake failed. */
  error?: unknown
}

/** The events of a listener, with their arguments. */
export interface ListenerEvents<C> {
  /** A connection. */
  connection: [channel: C]
  /** A connection that was closed again before anybody saw it. */
  drop: [details: Drop]
  /** The listener can't go on; it closes by itself. */
  error: [error: Error]
  /** The last event, once. */
  close: []
}

/** Somebody who waits for a connection. */
interface Waiter<C> {
  resolve(result: IteratorResult<C, undefined>): void
  reject(error: unknown): void
}

/**
 * Accepts connections, as channels, while somebody wants them: a `'connection'` listener, or an
 * iterator's pending `next()`.
 *
 * Made by `listen`. See docs/api.md for what it promises.
 */
export class Listener<C extends Channel = Channel>
  extends WatchedEmitter<ListenerEvents<C>>
  implements AsyncIterable<C>
{
  readonly #options: CheckedOptions
  readonly #context = new AsyncResource('FDWIRELISTENER')
  readonly #waiting = new Queue<Waiter<C>>()
  /** Connections that nobody has taken yet. */
  readonly #kept = new Queue<C>()
  #index: number
  /** Open channels of this listener. */
  #open = 0
  #allowed = 0
  #pause = 0
  #pausing = false
  #warned = false
  #referenced = true
  #error: Error | undefined
  #closing: Promise<void> | undefined
  readonly #address: string | Buffer | TcpAddress | null

  /** @internal Listeners are made by `listen`. */
  constructor(index: number, options: CheckedOptions) {
    super({ captureRejections: options.captureRejections })
    this.#options = options
    this.#index = index
    this.#address = decodeName(environment.localAddress(index)) ?? null
    register(index, this)
    countReferenced(1)
  }

  /** Where it listens: a path or abstract name, or a TCP address with the real port. */
  get address(): string | Buffer | TcpAddress | null {
    return this.#address
  }

  /** The socket's descriptor, lent; -1 once it is closed. */
  get fd(): number {
    return this.#index < 0 ? -1 : environment.fd(this.#index)
  }

  /** Whether it is closed. */
  get closed(): boolean {
    return this.#index < 0
  }

  /** Open channels that it has accepted. */
  get connections(): number {
    return this.#open
  }

  /** Keeps the process alive as long as the listener is open: the default. */
  ref(): this {
    if (this.closed) throw closedError('ref')
    if (!this.#referenced) countReferenced(1)
    this.#referenced = true
    return this
  }

  /** Lets the process end though the listener is open. */
  unref(): this {
    if (this.closed) throw closedError('unref')
    if (this.#referenced) countReferenced(-1)
    this.#referenced = false
    return this
  }

  /** Accepts no more, and removes its path; channels live on. A second call gives the same promise. */
  close(): Promise<void> {
    this.#closing ??= new Promise(resolve => {
      if (this.#index >= 0) this.#leave()
      this.#context.runInAsyncScope(process.nextTick, process, () => {
        resolve()
        this.emit('close')
      })
    })
    return this.#closing
  }

  /** The same as `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** The connections, for `for await`; ends when the listener is closed. `break` closes nothing. */
  [Symbol.asyncIterator](): AsyncIterableIterator<C> {
    const iterator: AsyncIterableIterator<C> = {
      next: () => this.#next(),
      return: async () => ({ done: true, value: undefined }),
      [Symbol.asyncIterator]: () => iterator,
    }
    return iterator
  }

  /** What `captureRejections` calls: the connection's own failure, and none of the listener's. */
  override [captureRejectionSymbol](
    error: Error,
    event: string | symbol,
    ...args: unknown[]
  ): void {
    const [channel] = args
    if (event === 'connection' && channel instanceof Channel) channel.destroy(error)
    else this.#fail(error)
  }

  /**
   * @internal The next connection, as an iterator's; null when the listener is closed meanwhile.
   *
   * One that was given up leaves the connection to the next, or in the backlog.
   */
  accept({ timeout, signal }: ReturnType<typeof checkWait>): Promise<C | null> {
    return new Promise((resolve, reject) => {
      const settle = () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', onAbort)
      }
      const giveUp = (error: Error) => {
        settle()
        this.#waiting.remove(waiter)
        this.#update()
        reject(error)
      }
      const onAbort = () => giveUp(abortError(signal as AbortSignal))
      const late = () => giveUp(timeoutError('No connection came', timeout))
      const waiter: Waiter<C> = {
        resolve(result) {
          settle()
          resolve(result.done ? null : result.value)
        },
        reject(error) {
          settle()
          reject(error)
        },
      }
      // The listener keeps the process alive, or not if it is unref'd: a time limit alone shall not.
      const timer = timeout > 0 ? setTimeout(late, timeout).unref() : undefined
      signal?.addEventListener('abort', onAbort, { once: true })
      this.#wait(waiter)
    })
  }

  /** @internal Native code has `records` records for this listener. */
  onTurn(records: number): void {
    this.#context.runInAsyncScope(this.#turn, this, records)
  }

  protected override beforeListener(event: keyof ListenerEvents<C>): void {
    if (event === 'connection' && this.#waiting.length > 0) {
      throw conflict('an iterator takes the connections of this listener')
    }
  }

  protected override listenersChanged(): void {
    if (this.#kept.length > 0 && this.listenerCount('connection') > 0) {
      this.#context.runInAsyncScope(process.nextTick, process, () => this.#handOut())
    }
    this.#update()
  }

  #turn(records: number): void {
    for (let index = 0; index < records; index++) {
      const { kind, place, name } = readNotice(index)
      if (kind === RecordKind.Accepted) this.#admit(place)
      else this.#onError(systemError(place, String(name)))
    }
    this.#handOut()
    this.#update(true)
  }

  /** Makes a channel of a connection, unless `allowPeer` says no. */
  #admit(index: number): void {
    this.#open++
    this.#pause = 0
    const channel = new Channel(index, this.#options, undefined, () => {
      this.#open--
      this.#update()
    }) as C
    // What becomes of it before anybody has seen it is nobody's error.
    channel.on('error', ignore)
    const { allowPeer } = this.#options
    if (allowPeer === undefined) {
      this.#kept.push(channel)
      return
    }
    const drop: Drop = { reason: 'allowPeer' }
    try {
      const { peer } = channel
      if (peer !== undefined && allowPeer(peer) === true) {
        this.#kept.push(channel)
        return
      }
    } catch (error) {
      drop.error = error
    }
    channel.destroy()
    this.#context.runInAsyncScope(process.nextTick, process, () => this.emit('drop', drop))
  }

  /** Gives connections to who wants them. Where a listener throws, the rest keeps its place. */
  #handOut(): void {
    while (this.#kept.length > 0 && !this.closed) {
      if (this.#waiting.length === 0 && this.listenerCount('connection') === 0) return
      const channel = this.#kept.shift() as C
      // It came to its end meanwhile.
      if (channel.closed) continue
      channel.off('error', ignore)
      const waiter = this.#waiting.shift()
      if (waiter !== undefined) waiter.resolve({ done: false, value: channel })
      else this.emit('connection', channel)
    }
  }

  #next(): Promise<IteratorResult<C, undefined>> {
    return new Promise((resolve, reject) => this.#wait({ resolve, reject }))
  }

  #wait(waiter: Waiter<C>): void {
    if (this.#error !== undefined) {
      waiter.reject(this.#error)
    } else if (this.closed) {
      waiter.resolve({ done: true, value: undefined })
    } else if (this.listenerCount('connection') > 0) {
      const why = "a 'connection' listener takes the connections of this listener"
      waiter.reject(conflict(why))
    } else {
      this.#waiting.push(waiter)
      this.#handOut()
      this.#update()
    }
  }

  /** Has native code accept as many connections as are wanted now; `again`: a turn is over. */
  #update(again = false): void {
    if (this.closed || this.#pausing) return
    const listening = this.listenerCount('connection') > 0
    const wanted = listening ? ACCEPTS : Math.min(this.#waiting.length, ACCEPTS)
    const allowed = Math.max(0, Math.min(wanted, this.#options.maxConnections - this.#open))
    if (allowed === this.#allowed && !again) return
    this.#allowed = allowed
    const errno = environment.allow(this.#index, allowed)
    if (errno !== 0) this.#fail(systemError(errno, 'epoll_ctl'))
  }

  #onError(error: Error & { code: string }): void {
    if (!PASSING.has(error.code)) {
      this.#fail(error)
      return
    }
    if (!this.#warned) {
      this.#warned = true
      process.emitWarning(`A listener pauses, since it can accept nothing: ${error.message}`, {
        type: 'FdwireWarning',
        code: 'FDWIRE_ACCEPT_PAUSED',
        detail: 'It tries again, after 10 ms to 1 s. Said once a listener.',
      })
    }
    this.#pausing = true
    this.#pause = Math.min(Math.max(this.#pause * 2, PAUSES[0]), PAUSES[1])
    const timer = setTimeout(() => {
      this.#pausing = false
      this.#update(true)
    }, this.#pause)
    timer.unref()
  }

  #fail(error: Error): void {
    if (this.closed) return
    this.#error = error
    const heard = this.#waiting.length > 0
    while (this.#waiting.length > 0) this.#waiting.shift()?.reject(error)
    this.#context.runInAsyncScope(process.nextTick, process, () => {
      if (!heard || this.listenerCount('error') > 0) this.emit('error', error)
    })
    this.close()
  }

  #leave(): void {
    unregister(this.#index)
    this.#index = -1
    if (this.#referenced) countReferenced(-1)
    // Nobody has seen these.
    while (this.#kept.length > 0) this.#kept.shift()?.destroy()
    while (this.#waiting.length > 0) {
      this.#waiting.shift()?.resolve({ done: true, value: undefined })
    }
  }
}

function ignore(): void {}
