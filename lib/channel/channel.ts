import { captureRejectionSymbol } from 'node:events'
import { type InspectOptionsStylized, inspect } from 'node:util'
import { totals } from '../native/counters.js'
import { ChannelHandle } from '../native/handle.js'
import { decodeSocketAddress, type TcpAddress } from '../options/address.js'
import {
  type CheckedOptions,
  checkCallOptions,
  checkTimeout,
  type Peer,
  type Protocol,
  type Sendable,
  type SocketType,
  type WaitOptions,
} from '../options/check.js'
import { diagnostics } from '../util/diagnostics.js'
import { WatchedEmitter } from '../util/emitter.js'
import { FdwireError } from '../util/errors.js'
import { inspectFields } from '../util/inspect.js'
import { NO_OPTIONS } from '../util/no-options.js'
import type { Message } from '../wire/message.js'
import { ChannelCore } from './core.js'
import type { ChannelEvents, RequestOptions, SendOptions } from './events.js'
import { fieldsOf } from './inspect.js'
import { Iteration } from './iteration.js'
import { type ChannelOwner, CLOSE_TIMEOUT } from './lifecycle.js'
import { peerOf } from './peer.js'
import type { Reopening } from './reconnection.js'
import type { ServeHandler, ServeOptions } from './serve/options.js'
import { type ChannelStats, statsOf } from './stats.js'

/** Makes a channel over a socket of native code (its index) or over another handle. */
export let makeChannel: <Receives, Sends>(
  socket: number | ChannelHandle,
  options: CheckedOptions,
  owner?: ChannelOwner,
  reopening?: Reopening,
) => Channel<Receives, Sends>

/** Returns the internals of a channel, for the modules of this package. */
export let coreOf: <R, S>(channel: Channel<R, S>) => ChannelCore

/**
 * Sends messages of type `Sends` and receives messages of type `Receives`, with file descriptors,
 * over a socket.
 *
 * `connect`, `listen`, `bind`, `pair`, `adopt` and `over` make channels: see docs/api/opening.md.
 */
export class Channel<Receives = unknown, Sends = Sendable<Receives>> extends WatchedEmitter<
  ChannelEvents<Receives>
> {
  static {
    makeChannel = (...init) => new Channel(...init)
    coreOf = channel => channel.#core
  }

  readonly #core: ChannelCore

  private constructor(
    socket: number | ChannelHandle,
    options: CheckedOptions,
    owner?: ChannelOwner,
    reopening?: Reopening,
  ) {
    super({ captureRejections: options.captureRejections })
    const handle = typeof socket === 'number' ? new ChannelHandle(socket) : socket
    this.#core = new ChannelCore(this as Channel, { handle, options, owner, reopening })
    totals.opened++
    if (diagnostics.open.hasSubscribers) diagnostics.open.publish({ channel: this })
  }

  /** The framing. */
  get protocol(): Protocol {
    return this.#core.options.protocol
  }

  /** The socket's type. */
  get type(): SocketType {
    return this.#core.options.type
  }

  /** The socket's descriptor, which the channel owns; -1 without a socket and once it is closed. */
  get fd(): number {
    return this.#core.handle.fd
  }

  /** Whether the socket is closed or detached. */
  get closed(): boolean {
    return this.#core.lifecycle.state === 'closed'
  }

  /** The socket's own address; null if it has none, or is closed. */
  get localAddress(): string | Buffer | TcpAddress | null {
    return decodeSocketAddress(this.#core.handle.localAddress()) ?? null
  }

  /** The peer's address; null if it has none, undefined without a peer or when closed. */
  get remoteAddress(): string | Buffer | TcpAddress | null | undefined {
    return decodeSocketAddress(this.#core.handle.peerAddress())
  }

  /**
   * The peer: the process that created the socket at the other end, as the kernel recorded it then,
   * or a TCP address. Undefined if it is unknown, or the channel is closed.
   */
  get peer(): Peer | undefined {
    return peerOf(this.#core.handle)
  }

  /** Counters of what the channel has done, and of what it holds now. */
  get stats(): ChannelStats {
    return statsOf(this.#core)
  }

  /**
   * Sends a message, with the descriptors in `fds`.
   *
   * Returns false if the queue is too long: on a stream above `highWaterMark`, otherwise as soon as
   * the message had to be queued. The message is accepted all the same. Wait for `'drain'` then, or
   * the queue grows to `maxQueued`. After the call you may change the value and close the descriptors.
   *
   * # Errors
   * If it throws, nothing is sent or queued, and the channel stays usable: ERR_FDWIRE_UNENCODABLE,
   * ERR_FDWIRE_ILL_FORMED_TEXT, ERR_FDWIRE_TOO_MANY_FDS, ERR_FDWIRE_FD_GONE, ERR_FDWIRE_QUEUE_FULL,
   * ERR_FDWIRE_BAD_ADDRESS, ERR_FDWIRE_CLOSED, TypeError, and the kernel's error for this message
   * (ECONNREFUSED, EMSGSIZE, EBADF …).
   */
  send(value: Sends, options?: SendOptions): boolean {
    return this.#core.sender.send(value, options) === 0
  }

  /**
   * Sends many messages: the same bytes as a loop of `send`, but faster for JSON.
   *
   * Returns what `send` would return for the last message. All values are encoded before the first is
   * sent, and what the kernel does not take at once (usually more than 256 KiB) is copied, so batches
   * of large messages should be small.
   *
   * # Errors
   * Those of `send`. If a value cannot be encoded, `error.index` is its index, and no message was
   * sent. After an error of the kernel, or if the queue is full, `error.sent` messages were sent.
   */
  sendAll(values: Iterable<Sends>, options?: SendOptions): boolean {
    return this.#core.sender.sendAll(values, options)
  }

  /**
   * Waits for the next message, at most `timeout` (ms, 0: no limit, the default). Resolves to null
   * at the end, and if the channel is closed before a message arrives.
   *
   * # Errors
   * ERR_FDWIRE_TIMEOUT and AbortError, which take no message; ERR_FDWIRE_CLOSED after `close()`;
   * the error that closed the channel.
   */
  receive(options: WaitOptions = NO_OPTIONS): Promise<Message<Receives> | null> {
    return this.#core.receive(options, false)
  }

  /**
   * Sends a message and waits for its reply: the next message from its destination.
   *
   * Use it with peers that send nothing but replies, or with `match`, which decides whether a
   * message is the reply. Several requests may be in flight; without `match` replies are matched in
   * order. A request without `match` that times out (`timeout`: ms, 0: no limit; default: 30,000 on a
   * datagram socket, else 0) or is aborted keeps its place in the order, so that its late reply is
   * dropped.
   *
   * # Errors
   * Those of `send` and `receive`; the error of a malformed reply; the error of a request that
   * could not be delivered; what `match` throws; ERR_FDWIRE_CLOSED if the channel is closed before
   * the reply arrives, ERR_FDWIRE_PEER_CLOSED if the peer ends; ERR_FDWIRE_REPLY_LOST if the reply
   * to an earlier, abandoned request does not arrive within `replyTimeout`.
   */
  request(
    value: Sends,
    options: RequestOptions<Receives> = NO_OPTIONS,
  ): Promise<Message<Receives>> {
    return this.#core.request(value, options as RequestOptions) as Promise<Message<Receives>>
  }

  /**
   * Calls `handler` for each message, and sends what it returns as the reply. Replies leave in the
   * order of the requests. docs/serve.md describes it.
   *
   * Resolves at the end of the channel, or, after `signal` is aborted, when the replies of running
   * handlers are flushed. You need not await the promise: a rejection is marked as handled.
   *
   * # Errors
   * The error that has closed the channel. At once: TypeError and RangeError for invalid arguments,
   * ERR_FDWIRE_CLOSED, ERR_FDWIRE_CONSUMER_CONFLICT.
   */
  serve(
    handler: ServeHandler<Receives, Sends>,
    options: ServeOptions<Receives, Sends> = NO_OPTIONS,
  ): Promise<void> {
    return this.#core.serve(handler, options)
  }

  /**
   * Resolves when the kernel has taken everything that was sent before.
   *
   * # Errors
   * The error of a message that could not be delivered; ERR_FDWIRE_CLOSED; the error that closed
   * the channel.
   */
  flush(): Promise<void> {
    return this.#core.flush()
  }

  /**
   * Half-closes the connection when everything is sent. Messages of the peer still arrive.
   *
   * # Errors
   * ERR_FDWIRE_CLOSED; a TypeError on a datagram socket, whose peer would not notice.
   */
  end(): this {
    if (this.type === 'dgram') {
      throw new TypeError('end: the peer of a datagram socket would not notice; use close()')
    }
    this.#core.lifecycle.finish()
    return this
  }

  /**
   * Stops delivering messages, sends what is queued, and closes. Further calls return the same
   * promise.
   *
   * # Errors
   * ERR_FDWIRE_TIMEOUT with `error.unsent` (bytes) if that takes longer than `timeout` (ms, 10,000;
   * 0: no limit); then the unsent messages are dropped. The error that closed the channel.
   */
  close(options: { timeout?: number | undefined } = NO_OPTIONS): Promise<void> {
    checkCallOptions('close', options, ['timeout'])
    return this.#core.lifecycle.close(checkTimeout(options.timeout, CLOSE_TIMEOUT))
  }

  /** Closes at once and drops the queue. With `error` the channel fails with that error. */
  destroy(error?: Error): this {
    this.#core.lifecycle.destroy(error)
    return this
  }

  /**
   * Stops `'message'` from the next message on. `receive()` and `request()` still take messages.
   *
   * # Errors
   * ERR_FDWIRE_CLOSED.
   */
  pause(): this {
    return this.#setPaused('pause', true)
  }

  /**
   * Reverses `pause()`.
   *
   * # Errors
   * ERR_FDWIRE_CLOSED.
   */
  resume(): this {
    return this.#setPaused('resume', false)
  }

  /** Whether the channel is paused. */
  isPaused(): boolean {
    return this.#core.receiver.isPaused
  }

  /** Lets the channel keep the process alive while it is open. This is the default. */
  ref(): this {
    return this.#setReferenced('ref', true)
  }

  /** Lets the process exit although the channel is open, even if messages are queued. */
  unref(): this {
    return this.#setReferenced('unref', false)
  }

  /**
   * Closes the channel but not its socket, and returns the socket's descriptor. Another thread or
   * process can adopt it.
   *
   * # Errors
   * ERR_FDWIRE_NOT_QUIET if messages are queued, if input was read and not delivered, if a call
   * waits for a message, or if an event is not emitted yet; ERR_FDWIRE_CLOSED; TypeError for a
   * channel over a Duplex stream.
   */
  detach(): number {
    const { lifecycle, handle, receiver } = this.#core
    lifecycle.checkOpen('detach')
    if (this.#core.reconnection !== undefined) {
      throw new TypeError('detach: the channel reconnects, so its socket is not its only one')
    }
    if (this.fd < 0) throw new TypeError('detach: the channel has no socket of its own')
    handle.flush()
    const { queued, unread, inHand } = this.stats
    const { waiting } = receiver
    const unanswered = this.#core.serving?.unanswered ?? 0
    // The kernel reports an error only once, so the next owner would miss it.
    const events = this.#core.pendingEvents
    const unfinished = Object.entries({
      'messages are queued': queued,
      'messages were read and not delivered': unread,
      'bytes of the next one were read': inHand,
      'calls wait for a message': waiting,
      'events are pending': events,
      'requests of serve() are not answered': unanswered,
    }).filter(([, count]) => count > 0)
    if (unfinished.length > 0) {
      const found = unfinished.map(([what, count]) => `${count} ${what}`).join(', ')
      throw new FdwireError('ERR_FDWIRE_NOT_QUIET', `detach: ${found}`)
    }
    return lifecycle.detach()
  }

  /**
   * Iterates over the messages. The iteration ends when the channel is closed.
   *
   * `break` does not close the channel: unread messages stay for the next consumer.
   *
   * # Errors
   * The error that closed the channel. ERR_FDWIRE_CONSUMER_CONFLICT if there is another iterator or
   * a `'message'` listener.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<Message<Receives>> {
    return new Iteration<Receives>(this.#core)
  }

  /** Shows the state of the channel in console.log. */
  [inspect.custom](depth: number, options: InspectOptionsStylized): string {
    return inspectFields('Channel', fieldsOf(this as Channel, this.#core), depth, options)
  }

  /** The same as `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** Destroys the channel when a listener's promise rejects (`captureRejections`). */
  override [captureRejectionSymbol](error: Error): void {
    this.destroy(error)
  }

  protected override beforeListener(event: keyof ChannelEvents<Receives>): void {
    if (event === 'message') this.#core.receiver.consumer.checkListener()
  }

  protected override listenersChanged(event: keyof ChannelEvents<Receives> | undefined): void {
    if (event !== 'message' && event !== undefined) return
    const { options, receiver } = this.#core
    const listeners = this.rawListeners('message')
    const isLone = listeners.length === 1 && !options.captureRejections
    receiver.setListeners(listeners.length, isLone ? listeners[0] : undefined)
    this.#core.settle()
  }

  #setPaused(call: string, paused: boolean): this {
    this.#core.lifecycle.checkOpen(call)
    this.#core.receiver.setPaused(paused)
    this.#core.settle()
    return this
  }

  #setReferenced(call: string, referenced: boolean): this {
    if (this.closed) throw this.#core.lifecycle.closedError(call)
    this.#core.handle.setReferenced(referenced)
    return this
  }
}
