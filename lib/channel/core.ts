import { AsyncResource } from 'node:async_hooks'
import { constants } from 'node:os'
import { Counter, RecordKind } from '#native'
import type { ChannelHandle } from '../native/handle.js'
import type { Address } from '../options/address.js'
import { type CheckedOptions, checkWait, type WaitOptions } from '../options/check.js'
import { checkFunction, checkIsObject } from '../util/checks.js'
import { diagnostics } from '../util/diagnostics.js'
import { closedError, systemError } from '../util/errors.js'
import { NO_OPTIONS } from '../util/no-options.js'
import { Queue } from '../util/queue.js'
import { nextTick } from '../util/timers.js'
import { endError } from '../wire/errors.js'
import type { Message } from '../wire/message.js'
import type { ChannelEvent } from '../wire/turn.js'
import type { Channel } from './channel.js'
import type { RequestOptions, SendOptions } from './events.js'
import { type ChannelOwner, Lifecycle } from './lifecycle.js'
import type { Match } from './match-requests.js'
import { Receiver } from './receiver.js'
import type { ReceiverHost } from './receiver-host.js'
import { Reconnection, type Reopening } from './reconnection.js'
import { undeliveredError } from './send-errors.js'
import { Sender } from './sender.js'
import { noCounts, type ServeCounts } from './serve/counts.js'
import { type CheckedServe, checkServe } from './serve/options.js'
import { Serving, type ServingHost } from './serve/serving.js'

const { limit, undelivered } = diagnostics

/** What a channel is made from. */
export interface ChannelInit {
  handle: ChannelHandle
  options: CheckedOptions
  /** The listener that accepted the channel. */
  owner?: ChannelOwner | undefined
  /** How the channel gets its next connection, with the option `reconnect`. */
  reopening?: Reopening | undefined
}

/**
 * The internals of a channel: its two halves, its lifecycle, and the order in which they run.
 *
 * `coreOf(channel)` returns it to the modules of `compat/`. The package does not export it.
 */
export class ChannelCore extends AsyncResource implements ReceiverHost, ServingHost {
  readonly channel: Channel
  readonly options: CheckedOptions
  readonly handle: ChannelHandle
  readonly sender: Sender
  readonly receiver: Receiver
  readonly lifecycle: Lifecycle
  /** The `serve` call that takes the messages; undefined if there is none. */
  serving: Serving | undefined
  /** What `serve` has counted; undefined before the first call. */
  serveCounts: ServeCounts | undefined
  /** Replaces the connection when it is lost; undefined without the option `reconnect`. */
  readonly reconnection: Reconnection | undefined
  /** Events that are not handled yet; undefined until the first one. */
  #events: Queue<ChannelEvent> | undefined
  /**
   * `receiver.unfinished` at the last continuation after an exception; -1: the channel has failed.
   */
  #unfinished = NOT_CONTINUED

  constructor(channel: Channel, { handle, options, owner, reopening }: ChannelInit) {
    super('FDWIRECHANNEL')
    this.channel = channel
    this.options = options
    this.handle = handle
    this.sender = new Sender(handle, options, channel)
    this.receiver = new Receiver(handle, options, this)
    this.lifecycle = new Lifecycle(this, owner)
    handle.register(this)
    this.reconnection = reopening && new Reconnection(this, reopening)
    if (this.reconnection) this.sender.setLossHandler(code => this.#onLoss(code))
    if (options.busyPoll > 0) handle.startBusyPolling()
  }

  /** The async context of the channel's events: that of the call which has made the channel. */
  get context(): AsyncResource {
    return this
  }

  /** The number of events that are not handled yet. */
  get pendingEvents(): number {
    return (this.#events?.length ?? 0) + this.receiver.unreadEvents
  }

  /** Handles the records of a turn. With 0 records it continues after an exception. */
  onTurn(records: number): void {
    if (records > 0) this.#unfinished = NOT_CONTINUED
    else if (!this.#hasProgressed()) return
    this.runInAsyncScope(this.#turn, this, records)
  }

  /**
   * Updates the channel after a turn or a call: it reads while there is a consumer, and reports the
   * end once the last message is delivered.
   */
  settle(): void {
    this.receiver.settle()
    this.lifecycle.settle()
  }

  addEvent(event: ChannelEvent): void {
    this.#events ??= new Queue()
    this.#events.push(event)
  }

  /**
   * Sets whether the program works on messages of the peer although the channel reads on. The clocks
   * of `idleTimeout` and `messageTimeout` stop meanwhile.
   */
  setBusy(busy: boolean): void {
    const { idleTimeout, messageTimeout } = this.options
    if (idleTimeout > 0 || messageTimeout > 0) this.handle.setBusy(busy)
  }

  get received(): number {
    return this.handle.counter(Counter.Received)
  }

  watchHangUp(): void {
    // A datagram socket has no connection, and `reconnect` itself reports a loss.
    if (this.options.type === 'dgram' || this.reconnection !== undefined) return
    this.handle.watchHangUp(() => this.serving?.onHangUp())
  }

  fail(error: Error): void {
    this.lifecycle.destroy(error)
  }

  noteSender(from: string | Buffer): void {
    this.sender.noteSender(from)
  }

  /**
   * Waits for the next message; null at the end. `takesMalformed`: rejects with a malformed
   * message.
   */
  receive<V>(options: WaitOptions, takesMalformed: boolean): Promise<Message<V> | null> {
    try {
      this.lifecycle.checkError()
      if (this.lifecycle.hasEnded) return Promise.resolve(null)
      this.lifecycle.checkOpen('receive')
      this.receiver.consumer.checkCall()
      const message = this.receiver.wait({ ...checkWait('receive', options), takesMalformed })
      this.settle()
      return message as Promise<Message<V> | null>
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** Sends a message and waits for its reply. */
  request(value: unknown, options: RequestOptions): Promise<Message> {
    try {
      checkIsObject('request', options)
      const { timeout, signal, match, ...sending } = options
      const limits = checkWait('request', { timeout, signal }, this.#requestTimeout)
      const predicate = checkFunction<Match>('match', match)
      this.lifecycle.checkError()
      this.lifecycle.checkOpen('request')
      if (this.lifecycle.hasEnded) throw closedError('request', 'peer')
      const { consumer } = this.receiver
      consumer.checkNoStream()
      if (predicate === undefined && this.serving?.isServed(sending.to)) consumer.checkCall()
      const queued = this.sender.send(value, sending, 'request')
      const seq = this.options.type === 'stream' ? this.#streamSeq : queued
      const replyFrom = sending.to ?? null
      const reply = this.receiver.wait({ ...limits, replyFrom, seq, match: predicate })
      this.settle()
      // A request never resolves to null: without a reply it rejects.
      return reply as Promise<Message>
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /** Answers the messages. `docs/serve.md` describes it. */
  serve(handler: unknown, options: unknown): Promise<void> {
    try {
      return this.startServing(checkServe(handler, options))
    } catch (error) {
      return Promise.reject(error)
    }
  }

  /**
   * The same for arguments that are checked.
   *
   * # Errors
   * ERR_FDWIRE_CLOSED, ERR_FDWIRE_CONSUMER_CONFLICT; the error that has closed the channel.
   */
  startServing(serve: CheckedServe): Promise<void> {
    this.lifecycle.checkError()
    if (this.lifecycle.hasEnded) return Promise.resolve()
    this.lifecycle.checkOpen('serve')
    this.receiver.consumer.checkCall()
    if (serve.signal?.aborted) return Promise.resolve()
    this.serveCounts ??= noCounts()
    const { type, allowRelative } = this.options
    const isConnected = type !== 'dgram' || this.handle.peerAddress() !== null
    const serving = new Serving(this, serve, { isConnected, allowRelative }, this.serveCounts)
    this.receiver.beginTaking('server', serving.take)
    this.serving = serving
    this.settle()
    return serving.promise
  }

  /** How many handlers of `serve` run. */
  get runningHandlers(): number {
    return this.serving?.running ?? 0
  }

  /** No request is unanswered: closes the channel if its peer has ended. */
  onAnswered(): void {
    this.lifecycle.closeAfterReplies()
  }

  /** Serving has ended on demand: the channel may have another consumer. */
  onDrained(): void {
    this.receiver.stopServing()
    this.serving = undefined
    this.lifecycle.closeAfterReplies()
  }

  /**
   * The number of the message that was just sent on a stream: the position of its last byte. A stream
   * drops single messages from its queue only if it reconnects; otherwise the number is not needed.
   */
  get #streamSeq(): number {
    return this.reconnection === undefined ? 0 : this.handle.counter(Counter.NextQueued) - 1
  }

  #endConnection(error: Error | undefined): void {
    if (!this.reconnection?.lose(error)) this.lifecycle.endInput(error)
  }

  /** Handles an error of sending a packet. Returns whether it means that packets are queued now. */
  #onLoss(code: number): boolean {
    if (!LOST.has(-code)) return false
    const keepsQueue = this.reconnection?.keepsQueue === true
    const lose = () => {
      if (this.lifecycle.isOpen) this.#endConnection(systemError(code, 'sendmsg'))
    }
    // The end of a seqpacket connection follows its last messages. That of a datagram socket is noted
    // when this message is queued, because it may be a reply.
    if (this.options.type === 'seqpacket' || keepsQueue) this.handle.hold()
    if (this.options.type === 'dgram') keepsQueue ? nextTick(lose) : lose()
    return keepsQueue && this.lifecycle.isOpen
  }

  /** The default `timeout` of `request` (ms): a datagram socket does not notice its peer's end. */
  get #requestTimeout(): number {
    return this.options.type === 'dgram' ? DGRAM_REQUEST_TIMEOUT : 0
  }

  /** Sends a message. Resolves when the kernel has taken it, even if other messages are queued. */
  async sendAndFlush(value: unknown, options: SendOptions = NO_OPTIONS): Promise<void> {
    this.lifecycle.checkError()
    this.lifecycle.checkOpen('send')
    const seq = this.sender.send(value, options)
    if (this.options.type === 'stream') await this.flush()
    else await this.sender.flushMessage(seq, options.to)
  }

  /** Resolves when the kernel has taken everything that was sent before. */
  async flush(): Promise<void> {
    this.lifecycle.checkError()
    this.lifecycle.checkOpen('flush')
    // The channel has failed, and sends nothing more while it delivers the last messages.
    if (this.lifecycle.pendingError !== undefined) throw this.lifecycle.pendingError
    await this.sender.flush()
  }

  /**
   * Whether the turn has progressed since it was last continued. If not, destroys the channel:
   * otherwise the same exception would be thrown for ever.
   */
  #hasProgressed(): boolean {
    const unfinished = this.receiver.unfinished + (this.#events?.length ?? 0)
    if (unfinished < this.#unfinished) {
      this.#unfinished = unfinished
      return true
    }
    // Even if destroying the channel throws, the turn is over.
    if (this.#unfinished >= 0) {
      this.#unfinished = -1
      this.lifecycle.destroy(stuckError())
    }
    return false
  }

  #turn(records: number): void {
    this.receiver.read(records)
    const events = this.#events
    if (events !== undefined && events.length > 0) this.sender.flushes?.beginTurn()
    // If a listener throws, native code calls again, and the rest of the turn follows.
    this.receiver.deliver()
    for (let event = events?.shift(); event !== undefined; event = events?.shift()) {
      // If a listener has closed the channel, its events are dropped.
      if (this.handle.isOpen) this.#onEvent(event)
    }
    this.settle()
  }

  #onEvent(event: ChannelEvent): void {
    const { kind, name } = event
    const { flushes } = this.sender
    switch (kind) {
      case RecordKind.Drained:
        flushes?.onDrained(name)
        this.serving?.onDrain(name)
        if (this.lifecycle.isOpen) this.channel.emit('drain', name)
        break
      case RecordKind.Progress:
        flushes?.onProgress()
        break
      case RecordKind.Undelivered:
        this.reportUndelivered(
          this.handle.queuedNumber(event.detail),
          undeliveredError(event.place, name, this.options),
          name,
        )
        break
      case RecordKind.FdsHeld:
        if (limit.hasSubscribers) limit.publish({ channel: this.channel, limit: 'maxOpenFds' })
        this.receiver.onFdsHeld()
        break
      case RecordKind.HungUp:
        this.serving?.onHangUp()
        break
      case RecordKind.End:
      case RecordKind.Cut:
      case RecordKind.Lost:
      case RecordKind.Late:
      case RecordKind.Failed:
        this.#endConnection(endError(event, this.options))
    }
  }

  /** Reports that a queued message was not delivered. */
  reportUndelivered(seq: number, error: Error, to?: Address): void {
    this.receiver.fail(seq, error)
    this.sender.flushes?.fail(seq, error)
    const { channel } = this
    if (undelivered.hasSubscribers) undelivered.publish({ channel, error, to })
    channel.emit('undelivered', error, { to })
  }
}

/** The errors of sending a packet which mean that the connection is lost. */
const { ECONNREFUSED, ECONNRESET, ENOTCONN, EPIPE } = constants.errno
const LOST = new Set([ECONNREFUSED, ECONNRESET, ENOTCONN, EPIPE])

/** The default `timeout` of `request` on a datagram socket (ms). */
export const DGRAM_REQUEST_TIMEOUT = 30_000

/** Above every `receiver.unfinished`. A small integer, which V8 keeps in the object itself. */
const NOT_CONTINUED = 2 ** 31 - 1

function stuckError(): Error {
  return new Error(
    'A turn of the channel failed repeatedly: its exceptions were reported as uncaught',
  )
}
