import { Counter } from '#native'
import { EMPTY_FD_SET } from '../fds/fdset.js'
import type { ChannelHandle } from '../native/handle.js'
import type { CheckedOptions } from '../options/check.js'
import { type ClosedBy, conflictError, replyLostError } from '../util/errors.js'
import { Queue } from '../util/queue.js'
import { nextTick, setImmediate } from '../util/timers.js'
import { cursor } from '../wire/cursor.js'
import type { Incoming, Message } from '../wire/message.js'
import { closeFds, isMessage } from '../wire/message.js'
import { MessageReader } from '../wire/reader.js'
import { NOT_PLAIN, turn } from '../wire/turn.js'
import { Consumer, type Listener, type Take } from './consumer.js'
import { reportMalformed } from './malformed.js'
import type { ReceiverHost } from './receiver-host.js'
import { Waiters, type WaitFor } from './waiters.js'
import { warnFdsHeld } from './warnings.js'

// A local constant: the optimizing compiler folds it, which it does not do with an import.
const NOT_DIRECT = NOT_PLAIN

/** Buffered bytes at which reading stops while only requests wait; those that a message adds. */
const [MAX_BUFFERED, BUFFERED_ENTRY] = [32 * 1024 * 1024, 64]

/** The most buffered messages that are delivered before the event loop does other work. */
const MAX_DELIVERED = 1_024

/**
 * The receiving half of a channel: delivers the messages of a turn to their consumers.
 *
 * ```text
 *  records ──read──► fresh ──► the waiting receive() and request() calls, in call order
 *                              else the 'message' listeners, unless the channel is paused
 *                              else buffered ──► the next consumer
 * ```
 *
 * Buffered messages are older than fresh ones, so listeners get them first.
 */
export class Receiver {
  readonly #host: ReceiverHost
  readonly #handle: ChannelHandle
  readonly #options: CheckedOptions
  readonly #reader: MessageReader
  /** Takes the messages for which no call waits. */
  readonly consumer: Consumer
  #waiters: Waiters | undefined
  /** The messages that were read in this turn, and the index of the first undelivered one. */
  #fresh: Incoming[] = NONE
  #next = 0
  /** Messages that were read when there was no consumer. */
  #buffered: Queue<Incoming> = NONE_BUFFERED
  /** The counters before the first buffered message: buffered ones are taken to have average size. */
  #receivedBefore: { bytes: number; messages: number } | undefined
  /** The consumer's lone function, while the next message is for it and nothing undelivered precedes. */
  #direct: Listener | undefined
  #delivery: 'on' | 'paused' | 'stopped' = 'on'
  /** Whether the delivery of buffered messages is scheduled; whether other work goes first. */
  #isDeliveryScheduled = false
  #deliversLater = false
  /** Whether malformed messages are buffered for calls with `takesMalformed`. */
  #buffersMalformed = false
  /** `unchecked`: reading has stopped at `maxOpenFds`, and some messages are not delivered yet. */
  #fdsHeld: 'no' | 'unchecked' | 'reported' = 'no'

  constructor(handle: ChannelHandle, options: CheckedOptions, host: ReceiverHost) {
    this.#host = host
    this.#handle = handle
    this.#options = options
    this.#reader = new MessageReader(turn, handle, options)
    this.consumer = new Consumer(!options.credentials)
  }

  /** The number of replies that were dropped because their request was abandoned. */
  get lateReplies(): number {
    return this.#waiters?.lateReplies ?? 0
  }

  /** The number of messages that were read but not delivered. */
  get unread(): number {
    const undelivered = this.#buffered.length + this.#fresh.length - this.#next
    return undelivered + (inTurn === this ? cursor.messages : 0)
  }

  /** The number of unread records of this turn that are not messages. */
  get unreadEvents(): number {
    return inTurn === this ? cursor.events : 0
  }

  /** How much of the turn is left. Each step of reading and delivering makes it smaller. */
  get unfinished(): number {
    const unread = inTurn === this ? cursor.messages + cursor.events : 0
    return 3 * unread + 2 * (this.#fresh.length - this.#next) + this.#buffered.length
  }

  /** The number of waiting `receive()` and `request()` calls. */
  get waiting(): number {
    return this.#waiters?.waiting ?? 0
  }

  get isPaused(): boolean {
    return this.#delivery === 'paused'
  }

  /** Pauses or resumes delivery to listeners. */
  setPaused(paused: boolean): void {
    this.#delivery = paused ? 'paused' : 'on'
    this.#updateDirect()
  }

  /** Sets the number of `'message'` listeners, and the only one if it can be called directly. */
  setListeners(count: number, lone: Listener | undefined): void {
    this.consumer.setListeners(count, lone)
    this.#updateDirect()
  }

  /** Makes `serve`, or a stream, the consumer. Throws ERR_FDWIRE_CONSUMER_CONFLICT for a second one. */
  beginTaking(kind: 'server' | 'stream', take: Take): void {
    if ((kind === 'stream' ? this.waiting : (this.#waiters?.ordered ?? 0)) > 0) {
      throw conflictError('a receive() or request() call waits for the messages of this channel')
    }
    this.consumer.beginTaking(kind, take)
    this.#updateDirect()
  }

  /** Stops or resumes the delivery to `serve`. */
  setHeld(isHeld: boolean): void {
    this.consumer.setHeld(isHeld)
    this.#updateDirect()
  }

  /** Ends the delivery to `serve`. */
  stopServing(): void {
    this.consumer.end()
    this.#updateDirect()
  }

  /** From now on malformed messages are buffered for calls with `takesMalformed`, not emitted. */
  bufferMalformed(): void {
    this.#buffersMalformed = true
  }

  /** Waits for a message; null if the channel ends first. */
  wait(how: WaitFor): Promise<Message | null> {
    if (this.#buffersMalformed && how.takesMalformed === false) this.#skipMalformed()
    if (this.#fdsHeld === 'unchecked') this.onFdsHeld()
    const waiters = this.#requireWaiters()
    const message = waiters.wait(how)
    waiters.offerAll(this.#buffered)
    this.#updateDirect()
    return message
  }

  /** Rejects the request whose queued message has this number, which was not delivered. */
  fail(seq: number, error: unknown): void {
    this.#waiters?.fail(seq, error)
  }

  /** Rejects the requests whose messages precede the queued one with this number (0: all). */
  failInFlight(oldest: number, error: unknown): void {
    this.#waiters?.failInFlight(oldest, error)
  }

  /** Rejects the waiting calls. Returns whether there was one. */
  failAll(error: unknown): boolean {
    return this.#waiters?.failAll(error) ?? false
  }

  /** Ends the waiting calls, because nothing more arrives. */
  endAll(by: ClosedBy): void {
    this.#waiters?.endAll(by)
  }

  /**
   * Reads the records of a turn; with 0 records it continues with the previous turn. Passes events
   * that are not messages to `addEvent`.
   *
   * Delivers plain messages directly to a lone listener. Reads all others before it delivers the
   * first of them, so that every descriptor has an owner whatever a listener does.
   */
  read(records: number): void {
    if (records > 0) {
      cursor.begin(records)
      inTurn = this
    }
    this.#updateDirect()
    this.#deliverPlain()
    this.#readRest()
    cursor.end()
    inTurn = undefined
  }

  /** Delivers buffered and fresh messages. The next call delivers the rest of many, or of a throw. */
  deliver(): void {
    const buffered = this.#buffered
    const rest = Math.max(0, buffered.length - MAX_DELIVERED)
    this.#deliversLater = rest > 0
    while (buffered.length > rest && this.#isFlowing) this.#emit(buffered.shift() as Incoming)
    while (this.#next < this.#fresh.length) this.#hand(this.#fresh[this.#next++] as Incoming)
    if (this.#next > 0) {
      this.#fresh = NONE
      this.#next = 0
    }
    if (this.#fdsHeld === 'unchecked') this.onFdsHeld()
  }

  /** Reads from the socket exactly while there is a consumer; schedules buffered deliveries. */
  settle(): void {
    const isFlowing = this.#isFlowing
    if (isFlowing && this.#buffered.length > 0) this.#deliverSoon()
    if (!this.#handle.isOpen) return
    const waits = this.waiting > 0
    const isAwaited = (waits || this.#waiters?.awaitsLateReply === true) && !this.#isFull()
    const polls = waits && isAwaited && this.#options.busyPoll > 0
    this.#handle.setReading(isFlowing || isAwaited, polls)
  }

  /** Reading has stopped at `maxOpenFds`: warns once, when no message is undelivered. */
  onFdsHeld(): void {
    if (this.#fdsHeld === 'reported') return
    this.#fdsHeld = this.unread > 0 ? 'unchecked' : 'no'
    if (this.#fdsHeld === 'unchecked') return
    // The consumers may have closed the descriptors already.
    if (this.#handle.openFds < this.#options.maxOpenFds) return
    this.#fdsHeld = 'reported'
    warnFdsHeld()
  }

  /** Stops delivery for good, and drops the undelivered messages. */
  stop(): void {
    this.#delivery = 'stopped'
    this.#direct = undefined
    const dropped = this.#fresh.slice(this.#next)
    this.#fresh = NONE
    this.#next = 0
    while (this.#buffered.length > 0) dropped.push(this.#buffered.shift() as Incoming)
    for (const incoming of dropped) closeFds(incoming)
  }

  /** Whether messages go to listeners, or to `serve`, now. */
  get #isFlowing(): boolean {
    return this.#delivery === 'on' && this.consumer.isFlowing
  }

  /** Delivers plain messages directly. If the listener throws, native code calls `onTurn` again. */
  #deliverPlain(): void {
    const { channel } = this.#host
    while (cursor.span < cursor.spanEnd || cursor.openPlain()) {
      const listener = this.#direct
      if (listener === undefined) return
      const value = this.#readPlain(cursor.span)
      if (value === NOT_DIRECT) return
      cursor.span++
      listener.call(channel, value, EMPTY_FD_SET, undefined)
    }
  }

  /** Returns the value of a plain message; `NOT_DIRECT` if that throws: then `readSpan` reports it. */
  #readPlain(span: number): unknown {
    try {
      return this.#reader.readPlain(span)
    } catch {
      return NOT_DIRECT
    }
  }

  /** Reads all messages and events that were not delivered directly. */
  #readRest(): void {
    for (;;) {
      // If reading throws (a built-in was replaced), the channel fails.
      try {
        const read = cursor.read(this.#reader)
        if (read === undefined) return
        if (typeof read === 'number') this.#host.addEvent(turn.event(read))
        else this.#keep(read)
      } catch (error) {
        this.#host.fail(error as Error)
      }
    }
  }

  #updateDirect(): void {
    const isDirect =
      this.#delivery === 'on' &&
      (this.#waiters === undefined || this.#waiters.isEmpty) &&
      this.#buffered.length === 0 &&
      this.#next === this.#fresh.length
    this.#direct = isDirect ? this.consumer.lone : undefined
  }

  #keep(incoming: Incoming): void {
    const { from } = incoming
    if (from !== undefined && from !== null) this.#host.noteSender(from)
    // A listener that was called directly may have closed the channel.
    if (this.#delivery === 'stopped') closeFds(incoming)
    else if (this.#fresh === NONE) this.#fresh = [incoming]
    else this.#fresh.push(incoming)
  }

  #requireWaiters(): Waiters {
    if (this.#waiters === undefined) {
      const { type, sendTimeout, replyTimeout } = this.#options
      const isConnection = type !== 'dgram'
      this.#waiters = new Waiters({
        onAbandoned: () => this.#host.settle(),
        keepPlace: isConnection ? replyTimeout : sendTimeout,
        onReplyLost: isConnection ? () => this.#onReplyLost() : undefined,
      })
    }
    return this.#waiters
  }

  /** The reply to an abandoned request is late. Fails the channel, unless it does not read. */
  #onReplyLost(): void {
    const { maxOpenFds, replyTimeout } = this.#options
    const isReading = this.#handle.openFds < maxOpenFds && !this.#isFull()
    if (isReading) this.#host.fail(replyLostError(replyTimeout))
  }

  /** Gives a fresh message to its consumer, or buffers it. */
  #hand(incoming: Incoming): void {
    const waiters = this.#waiters
    if (waiters?.offer(incoming)) return
    if (this.#delivery === 'stopped') {
      // A predicate of a request has closed the channel.
      closeFds(incoming)
    } else if (isMessage(incoming)) {
      if (this.#isFlowing && this.#buffered.length === 0) this.#emit(incoming)
      else this.#buffer(incoming)
    } else if (this.#buffersMalformed && !waiters?.isDue(incoming.from)) {
      this.#buffer(incoming)
    } else {
      reportMalformed(this.#host.channel, incoming)
    }
  }

  #buffer(incoming: Incoming): void {
    if (this.#buffered === NONE_BUFFERED) this.#buffered = new Queue()
    if (this.#buffered.length === 0) this.#receivedBefore = undefined
    this.#buffered.push(incoming)
  }

  #emit(incoming: Incoming): void {
    if (!isMessage(incoming)) return void reportMalformed(this.#host.channel, incoming)
    const { value, fds, from } = incoming
    // Without the option, the property could be one of Object.prototype.
    const credentials = this.#options.credentials ? incoming.credentials : undefined
    const { channel } = this.#host
    const { take } = this.consumer
    if (take !== undefined) take(value, fds, from, credentials)
    else if (credentials === undefined) channel.emit('message', value, fds, from)
    else channel.emit('message', value, fds, from, credentials)
  }

  /** Delivers buffered messages in a later tick, never inside a call of the program. */
  #deliverSoon(): void {
    if (this.#isDeliveryScheduled) return
    this.#isDeliveryScheduled = true
    const schedule = this.#deliversLater ? setImmediate : nextTick
    this.#host.context.runInAsyncScope(schedule, process, () => {
      this.#isDeliveryScheduled = false
      try {
        this.deliver()
      } finally {
        // If a listener throws, the next tick delivers the rest.
        this.#host.settle()
      }
    })
  }

  /** Emits the buffered malformed messages that precede the next message. */
  #skipMalformed(): void {
    const buffered = this.#buffered
    for (let first = buffered.peek(); first && !isMessage(first); first = buffered.peek()) {
      const skipped = first
      buffered.shift()
      this.#host.context.runInAsyncScope(nextTick, process, () =>
        reportMalformed(this.#host.channel, skipped),
      )
    }
  }

  /** Whether too many bytes are buffered while only requests wait. */
  #isFull(): boolean {
    if (this.#buffered.length === 0) return false
    const bytes = this.#handle.counter(Counter.ReceivedBytes)
    const messages = this.#handle.counter(Counter.Received)
    this.#receivedBefore ??= { bytes, messages: messages - this.#buffered.length }
    const count = messages - this.#receivedBefore.messages
    const held = bytes - this.#receivedBefore.bytes + count * BUFFERED_ENTRY
    return held * this.#buffered.length > MAX_BUFFERED * count
  }
}

/** The receiver whose turn it is. */
let inTurn: Receiver | undefined

// Idle channels share these, so that each needs less memory. Nothing may be added to them.
const NONE: Incoming[] = []
const NONE_BUFFERED = new Queue<Incoming>()
