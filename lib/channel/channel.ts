import { captureRejectionSymbol } from 'node:events'
import { ChannelHandle } from '../native/handle.js'
import { decodeName, type TcpAddress } from '../options/address.js'
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
import { WatchedEmitter } from '../util/emitter.js'
import { closedError, conflict, FdwireError } from '../util/errors.js'
import type { Message } from '../wire/message.js'
import { ChannelCore } from './core.js'
import type { ChannelEvents, RequestOptions, SendOptions } from './events.js'
import { Iteration } from './iteration.js'
import { type ChannelOwner, CLOSE_TIMEOUT } from './lifecycle.js'
import { peerOf } from './peer.js'
import { type ChannelStats, statsOf } from './stats.js'

/** Makes a channel over a socket of native code, by its index, or over another handle. */
export let makeChannel: <V>(
  socket: number | ChannelHandle,
  options: CheckedOptions,
  owner?: ChannelOwner,
) => Channel<V>

/** The inside of a channel, for the modules of this package. */
export let coreOf: <V>(channel: Channel<V>) => ChannelCore

/**
 * Sends and receives messages, with file descriptors, over a socket.
 *
 * Made by `connect`, `listen`, `bind`, `pair`, `adopt` and `over`; docs/api.md describes it.
 */
export class Channel<V = unknown> extends WatchedEmitter<ChannelEvents<V>> {
  static {
    makeChannel = (socket, options, owner) => new Channel(socket, options, owner)
    coreOf = channel => channel.#core
  }

  /** The framing. */
  readonly protocol: Protocol
  /** The socket's type. */
  readonly type: SocketType
  readonly #core: ChannelCore

  private constructor(
    socket: number | ChannelHandle,
    options: CheckedOptions,
    owner: ChannelOwner | undefined,
  ) {
    super({ captureRejections: options.captureRejections })
    this.protocol = options.protocol
    this.type = options.type
    const handle = typeof socket === 'number' ? new ChannelHandle(socket) : socket
    this.#core = new ChannelCore(this as Channel, { handle, options, owner })
  }

  /** The socket's descriptor, which the channel keeps; -1 once the channel is closed. */
  get fd(): number {
    return this.#core.handle.fd
  }

  /** Whether the socket is closed or detached. */
  get closed(): boolean {
    return this.#core.lifecycle.state === 'closed'
  }

  /** The socket's own address; null where it has none, or is closed. */
  get localAddress(): string | Buffer | TcpAddress | null {
    return decodeName(this.#core.handle.localName()) ?? null
  }

  /** The peer's address: null where it has none, undefined without a peer or when closed. */
  get remoteAddress(): string | Buffer | TcpAddress | null | undefined {
    return decodeName(this.#core.handle.peerName())
  }

  /**
   * The peer: the process that created the socket at the other end, as the kernel recorded it then,
   * or a TCP address. Undefined where it is unknown, or the channel is closed.
   */
  get peer(): Peer | undefined {
    return peerOf(this.#core.handle)
  }

  /** What the channel has done, and what it holds now. */
  get stats(): ChannelStats {
    return statsOf(this.#core.handle, this.#core.receiver)
  }

  /**
   * Sends a message, with `fds` if there are any.
   *
   * Returns false when the message had to be queued: wait for `'drain'` before you send more, or the
   * queue grows to `maxQueued`. When it returns, the value, its memory and the descriptors may be
   * reused.
   *
   * # Errors
   * When it throws, nothing is sent or queued, and the channel stays usable: ERR_FDWIRE_UNENCODABLE,
   * ERR_FDWIRE_TOO_MANY_FDS, ERR_FDWIRE_QUEUE_FULL, ERR_FDWIRE_BAD_ADDRESS, ERR_FDWIRE_CLOSED, and
   * the kernel's error for this message (ECONNREFUSED, EMSGSIZE, EBADF …).
   */
  send(value: Sendable<V>, options?: SendOptions): boolean {
    return this.#core.sender.send(value, options) === 0
  }

  /**
   * Sends many messages: the same bytes as a loop of `send`, faster for JSON.
   *
   * # Errors
   * As `send`. For a value that cannot be encoded, `error.index` is its index and none was sent. For
   * an error of the kernel and a full queue, `error.sent` is how many messages were sent.
   */
  sendAll(values: Iterable<Sendable<V>>, options?: SendOptions): boolean {
    return this.#core.sender.sendAll(values, options)
  }

  /**
   * Waits for the next message. Resolves to null at the end, and when the channel is closed.
   *
   * # Errors
   * ERR_FDWIRE_TIMEOUT, AbortError: no message was taken then. The error that closed the channel.
   */
  receive(options: WaitOptions = {}): Promise<Message<V> | null> {
    return this.#core.receive(options, false)
  }

  /**
   * Sends a message and waits for its reply: the next message from its destination.
   *
   * For peers that only send replies. Several requests may be in flight; replies are matched in
   * order. A request that times out or is aborted keeps its place, so that its late reply is
   * dropped.
   *
   * # Errors
   * Those of `send` and `receive`. A malformed reply rejects, and so does an undelivered request.
   */
  request(value: Sendable<V>, options: RequestOptions = {}): Promise<Message<V>> {
    return this.#core.request(value, options) as Promise<Message<V>>
  }

  /**
   * Resolves when the kernel has everything that was sent before.
   *
   * # Errors
   * The error of a message that could not be delivered.
   */
  flush(): Promise<void> {
    return this.#core.flush()
  }

  /**
   * Half-closes the connection when everything is sent. What the peer sends is still received.
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
   * ERR_FDWIRE_TIMEOUT with `error.unsent` (bytes) when that takes longer than `timeout` (ms, 10,000;
   * 0: no limit). What is unsent is dropped then.
   */
  close(options: { timeout?: number | undefined } = {}): Promise<void> {
    checkCallOptions('close', options, ['timeout'])
    return this.#core.lifecycle.close(checkTimeout(options.timeout, CLOSE_TIMEOUT))
  }

  /** Closes at once, and drops what is queued. With an error, the channel fails with it. */
  destroy(error?: Error): this {
    this.#core.lifecycle.destroy(error)
    return this
  }

  /** Stops `'message'` from the next message on. `receive()` and `request()` still take messages. */
  pause(): this {
    return this.#setPaused('pause', true)
  }

  /** Reverses `pause()`. */
  resume(): this {
    return this.#setPaused('resume', false)
  }

  /** Whether the channel is paused. */
  isPaused(): boolean {
    return this.#core.receiver.isPaused
  }

  /** Lets the channel keep the process alive while it is open: the default. */
  ref(): this {
    return this.#setReferenced('ref', true)
  }

  /** Lets the process exit although the channel is open, even if messages are queued. */
  unref(): this {
    return this.#setReferenced('unref', false)
  }

  /**
   * Closes the channel and returns its descriptor, open, for another thread or process to adopt.
   *
   * # Errors
   * ERR_FDWIRE_NOT_QUIET when messages are queued, were read and not delivered, or are waited for, or
   * when events of this turn are not reported.
   */
  detach(): number {
    const { lifecycle, handle, receiver } = this.#core
    lifecycle.checkOpen('detach')
    if (this.fd < 0) throw new TypeError('detach: the channel has no socket of its own')
    handle.flush()
    const { queued, unread, inHand } = this.stats
    const { waiting } = receiver
    // The kernel reports an error or an undelivered message once: the next owner would miss it.
    const events = this.#core.pendingEvents
    if (queued > 0 || unread > 0 || inHand > 0 || waiting > 0 || events > 0) {
      throw new FdwireError(
        'ERR_FDWIRE_NOT_QUIET',
        `detach: ${queued} messages are queued, ${unread} were read and not delivered, ` +
          `${inHand} bytes of the next one were read, ${waiting} calls wait, ` +
          `${events} events are pending`,
      )
    }
    return lifecycle.detach()
  }

  /**
   * Iterates over the messages. The iteration ends when the channel is closed, and throws the error
   * that closes it.
   *
   * `break` does not close the channel: unread messages stay for the next consumer.
   *
   * # Errors
   * ERR_FDWIRE_CONSUMER_CONFLICT beside another iterator or a `'message'` listener.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<Message<V>> {
    return new Iteration<V>(this.#core)
  }

  /** The same as `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** Destroys the channel when a listener's promise rejects (`captureRejections`). */
  override [captureRejectionSymbol](error: Error): void {
    this.destroy(error)
  }

  protected override beforeListener(event: keyof ChannelEvents<V>): void {
    if (event === 'message' && this.#core.receiver.isIterating) {
      throw conflict('an iterator takes the messages of this channel')
    }
  }

  protected override listenersChanged(): void {
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
    if (this.closed) throw closedError(call)
    this.#core.handle.setReferenced(referenced)
    return this
  }
}
