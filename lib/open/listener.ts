import { AsyncResource } from 'node:async_hooks'
import { captureRejectionSymbol } from 'node:events'
import { type InspectOptionsStylized, inspect } from 'node:util'
import { RecordKind } from '#native'
import { Channel, makeChannel } from '../channel/channel.js'
import { totals } from '../native/counters.js'
import { countReferenced, environment, hot, register, unregister } from '../native/environment.js'
import { decodeSocketAddress, type TcpAddress } from '../options/address.js'
import type { CheckedOptions, Protocol, SocketType } from '../options/check.js'
import { diagnostics } from '../util/diagnostics.js'
import { WatchedEmitter } from '../util/emitter.js'
import { closedError, conflictError, type SystemError, systemError } from '../util/errors.js'
import { inspectFields } from '../util/inspect.js'
import { Queue } from '../util/queue.js'
import { nextTick } from '../util/timers.js'
import { startLimits, type WaitLimits } from '../util/wait.js'
import { turn } from '../wire/turn.js'
import { AcceptPause } from './accept-pause.js'
import type { Drop, ListenerEvents, Waiter } from './listener-events.js'
import { fieldsOf, reportDrop, reportLimit } from './listener-events.js'
import { serveConnections } from './serve-connections.js'

/** The most connections that one turn accepts: it must not delay other channels for long. */
const MAX_ACCEPTS = 64

const { accept, close, open } = diagnostics

/** Makes a listener from a listener of the addon (its index). */
export let makeListener: <C extends Channel>(index: number, options: CheckedOptions) => Listener<C>

/**
 * Waits for the next connection; null if the listener is closed.
 *
 * A call that times out or is aborted takes no connection.
 *
 * # Errors
 * ERR_FDWIRE_TIMEOUT; AbortError; ERR_FDWIRE_CONSUMER_CONFLICT; the listener's error.
 */
export let acceptConnection: <C extends Channel>(
  listener: Listener<C>,
  limits: WaitLimits,
) => Promise<C | null>

/**
 * Accepts connections as channels while it serves, while it has a `'connection'` listener, or while
 * an iterator waits in `next()`. `listen` makes listeners.
 */
export class Listener<C extends Channel = Channel>
  extends WatchedEmitter<ListenerEvents<C>>
  implements AsyncIterable<C>
{
  static {
    makeListener = (index, options) => new Listener(index, options)
    acceptConnection = (listener, limits) => listener.#accept(limits)
  }

  /** The index in the addon; -1 once it is closed. */
  #index: number
  readonly #options: CheckedOptions
  readonly #context = new AsyncResource('FDWIRELISTENER')
  readonly #address: string | Buffer | TcpAddress | null
  readonly #waiters = new Queue<Waiter<C>>()
  /** Accepted connections that are not delivered yet. */
  readonly #accepted = new Queue<C>()
  /** Accepted connections whose channel is open. */
  #connections = 0
  /** The owner of all its channels, which counts them. */
  readonly #channelOwner = {
    onChannelClosed: () => {
      this.#connections--
      this.#allow()
    },
  }
  /** The number of records of this turn, and the index of the first unread one. */
  #records = 0
  #record = 0
  /** The number of connections that the addon was last allowed to accept. */
  #allowed = 0
  readonly #pause = new AcceptPause(() => this.#allow(true))
  #isReferenced = true
  #error: Error | undefined
  #closing: Promise<void> | undefined

  private constructor(index: number, options: CheckedOptions) {
    super({ captureRejections: options.captureRejections })
    this.#options = options
    this.#index = index
    this.#address = decodeSocketAddress(environment.localAddress(index)) ?? null
    const runTurn = this.#runTurn.bind(this)
    register(index, {
      onTurn: records => this.#context.runInAsyncScope(runTurn, undefined, records),
    })
    countReferenced(1)
    totals.listeners++
    if (open.hasSubscribers) open.publish({ listener: this })
  }

  /** The address at which it listens. The port of a TCP address is the real one, never 0. */
  get address(): string | Buffer | TcpAddress | null {
    return this.#address
  }

  /** The framing of its connections. */
  get protocol(): Protocol {
    return this.#options.protocol
  }

  /** The type of its socket. */
  get type(): SocketType {
    return this.#options.type
  }

  /** The socket's descriptor, which the listener owns; -1 once it is closed. */
  get fd(): number {
    return this.#index < 0 ? -1 : environment.fd(this.#index)
  }

  /** Whether it is closed. */
  get closed(): boolean {
    return this.#index < 0
  }

  /** The number of its open connections. */
  get connections(): number {
    return this.#connections
  }

  /**
   * Lets the listener keep the process alive while it is open. This is the default.
   *
   * # Errors
   * ERR_FDWIRE_CLOSED.
   */
  ref(): this {
    if (this.closed) throw closedError('ref')
    if (!this.#isReferenced) countReferenced(1)
    this.#isReferenced = true
    return this
  }

  /**
   * Lets the process exit although the listener is open.
   *
   * # Errors
   * ERR_FDWIRE_CLOSED.
   */
  unref(): this {
    if (this.closed) throw closedError('unref')
    if (this.#isReferenced) countReferenced(-1)
    this.#isReferenced = false
    return this
  }

  /**
   * Calls `channel.serve(handler, options)` for every connection. docs/serve.md describes it.
   *
   * # Errors
   * Those of `channel.serve`; the error that has closed the listener.
   */
  serve(handler: Parameters<C['serve']>[0], options?: Parameters<C['serve']>[1]): Promise<void> {
    return serveConnections(this, handler, options)
  }

  /**
   * Closes the listener and removes its path. Its channels stay open.
   *
   * Every call returns the same promise.
   */
  close(): Promise<void> {
    this.#closing ??= new Promise(resolve => {
      if (!this.closed) this.#release()
      this.#nextTick(() => {
        resolve()
        if (close.hasSubscribers) close.publish({ listener: this, error: this.#error })
        this.emit('close')
      })
    })
    return this.#closing
  }

  /** Shows the state of the listener in console.log. */
  [inspect.custom](depth: number, options: InspectOptionsStylized): string {
    return inspectFields('Listener', fieldsOf(this as Listener, this.#error), depth, options)
  }

  /** The same as `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /**
   * Iterates over the connections until the listener is closed. `break` does not close it.
   *
   * # Errors
   * The error that closed the listener. ERR_FDWIRE_CONSUMER_CONFLICT if there is a `'connection'`
   * listener.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<C> {
    const iterator: AsyncIterableIterator<C> = {
      next: () => new Promise((resolve, reject) => this.#wait({ resolve, reject })),
      return: async () => ({ done: true, value: undefined }),
      [Symbol.asyncIterator]: () => iterator,
    }
    return iterator
  }

  /**
   * Handles the rejected promise of a listener (`captureRejections`). That of a `'connection'`
   * listener destroys only its channel.
   */
  override [captureRejectionSymbol](
    error: Error,
    event: string | symbol,
    ...args: unknown[]
  ): void {
    const [channel] = args
    if (event === 'connection' && channel instanceof Channel) channel.destroy(error)
    else this.#fail(error)
  }

  protected override beforeListener(event: keyof ListenerEvents<C>): void {
    if (event === 'connection' && this.#waiters.length > 0) {
      throw conflictError('an iterator takes the connections of this listener')
    }
  }

  protected override listenersChanged(event: keyof ListenerEvents<C> | undefined): void {
    if (event !== 'connection' && event !== undefined) return
    if (this.#accepted.length > 0 && this.#hasListener) this.#nextTick(() => this.#deliver())
    this.#allow()
  }

  get #hasListener(): boolean {
    return this.listenerCount('connection') > 0
  }

  #accept(limits: WaitLimits): Promise<C | null> {
    return new Promise((resolve, reject) => {
      const stop = startLimits(limits, { late: 'No connection arrived' }, error => {
        this.#waiters.remove(waiter)
        this.#allow()
        reject(error)
      })
      const waiter: Waiter<C> = {
        resolve(result) {
          stop()
          resolve(result.done ? null : result.value)
        },
        reject(error) {
          stop()
          reject(error)
        },
      }
      this.#wait(waiter)
    })
  }

  #wait(waiter: Waiter<C>): void {
    if (this.#error !== undefined) {
      waiter.reject(this.#error)
    } else if (this.closed) {
      waiter.resolve({ done: true, value: undefined })
    } else if (this.#hasListener) {
      const reason = "a 'connection' listener takes the connections of this listener"
      waiter.reject(conflictError(reason))
    } else {
      this.#waiters.push(waiter)
      this.#deliver()
      this.#allow()
    }
  }

  /** Handles the records of a turn. With 0 records it continues after an exception. */
  #runTurn(records: number): void {
    if (records > 0) {
      this.#records = records
      this.#record = 0
    }
    while (this.#record < this.#records) {
      const { kind, place, name } = turn.event(this.#record++)
      if (kind === RecordKind.Accepted) this.#admit(place)
      else this.#onAcceptError(systemError(place, String(name)))
    }
    this.#deliver()
    this.#allow(true)
  }

  /** Makes a channel of a connection. Drops it unless `allowPeer` returns true. */
  #admit(index: number): void {
    if (this.closed) {
      // `allowPeer` has closed the listener in this turn.
      unregister(index)
      return
    }
    this.#connections++
    totals.accepted++
    if (this.#connections === this.#options.maxConnections) reportLimit(this, 'maxConnections')
    this.#pause.reset()
    const channel = makeChannel(index, this.#options, this.#channelOwner) as C
    const { allowPeer } = this.#options
    if (allowPeer === undefined) {
      this.#accepted.push(channel)
      return
    }
    const drop: Drop = { reason: 'allowPeer' }
    try {
      const { peer } = channel
      if (peer !== undefined && allowPeer(peer) === true && !this.closed) {
        this.#accepted.push(channel)
        return
      }
    } catch (error) {
      drop.error = error
    }
    channel.destroy()
    // A closed listener emits no 'drop': 'close' is its last event.
    if (!this.closed) this.#nextTick(() => reportDrop(this, drop))
  }

  /** Delivers connections. If a listener throws, the connections after its own stay queued. */
  #deliver(): void {
    try {
      while (this.#accepted.length > 0 && !this.closed && this.#hasConsumer) {
        const channel = this.#accepted.shift() as C
        // The connection may have ended in the meantime.
        if (channel.closed) continue
        if (channel.listenerCount('error') > 0) channel.off('error', ignore)
        if (accept.hasSubscribers) accept.publish({ listener: this, channel })
        const waiter = this.#waiters.shift()
        if (waiter !== undefined) waiter.resolve({ done: false, value: channel })
        else this.emit('connection', channel)
      }
    } finally {
      this.#ignoreErrors()
    }
  }

  get #hasConsumer(): boolean {
    return this.#waiters.length > 0 || this.#hasListener
  }

  /** Ignores the errors of connections that stay undelivered: the program cannot handle them. */
  #ignoreErrors(): void {
    for (let at = 0; at < this.#accepted.length; at++) {
      const channel = this.#accepted.at(at) as C
      if (channel.listenerCount('error') === 0) channel.on('error', ignore)
    }
  }

  /**
   * Lets the addon accept as many connections as there are consumers for. `again`: the addon has
   * used up a part of the number that it was last given.
   */
  #allow(again = false): void {
    if (this.closed || this.#pause.isActive) return
    const demand = this.#hasListener ? MAX_ACCEPTS : Math.min(this.#waiters.length, MAX_ACCEPTS)
    const room = this.#options.maxConnections - this.#connections
    const allowed = Math.max(0, Math.min(demand, room))
    if (allowed === this.#allowed && !again) return
    this.#allowed = allowed
    hot.allow(this.#index, allowed)
  }

  #onAcceptError(error: SystemError): void {
    if (this.#pause.start(error)) reportLimit(this, 'accept', error)
    else this.#fail(error)
  }

  #fail(error: Error): void {
    if (this.closed) return
    this.#error = error
    const isHandled = this.#waiters.length > 0
    while (this.#waiters.length > 0) this.#waiters.shift()?.reject(error)
    this.#nextTick(() => {
      if (!isHandled || this.listenerCount('error') > 0) this.emit('error', error)
    })
    this.close()
  }

  /** Closes the socket, ends the waiting calls, and destroys undelivered connections. */
  #release(): void {
    unregister(this.#index)
    totals.listeners--
    this.#index = -1
    if (this.#isReferenced) countReferenced(-1)
    while (this.#accepted.length > 0) this.#accepted.shift()?.destroy()
    while (this.#waiters.length > 0) {
      this.#waiters.shift()?.resolve({ done: true, value: undefined })
    }
  }

  #nextTick(callback: () => void): void {
    this.#context.runInAsyncScope(nextTick, process, callback)
  }
}

function ignore(): void {}
