import type { AsyncResource } from 'node:async_hooks'
import { channel as diagnostics } from 'node:diagnostics_channel'
import { Counter } from '#native'
import { EMPTY_FD_SET } from '../fds/fdset.js'
import type { ChannelHandle } from '../native/handle.js'
import type { CheckedOptions } from '../options/check.js'
import { conflict } from '../util/errors.js'
import { Queue } from '../util/queue.js'
import { nextTick } from '../util/timers.js'
import { type Incoming, isMessage, type Malformed, type Message } from '../wire/message.js'
import { MessageReader } from '../wire/reader.js'
import { type ChannelEvent, NOT_PLAIN, turn } from '../wire/turn.js'
import type { ChannelEvents } from './events.js'
import { Waiters, type WaitFor } from './waiters.js'

/** What may be kept without a consumer before reading on behalf of a `request()` stops (bytes). */
const MAX_KEPT = 32 * 1024 * 1024

const malformedChannel = diagnostics('fdwire:malformed')

/** A listener as EventEmitter keeps it: one that was added by `once` removes itself when called. */
// biome-ignore lint/complexity/noBannedTypes: `rawListeners` returns this type
export type Listener = Function

/** What the receiver needs of its channel. */
export interface ReceiverHost {
  readonly context: AsyncResource
  /** The channel, which emits the events and is `this` of its listeners. */
  readonly channel: {
    emit<E extends 'message' | 'malformed'>(event: E, ...args: ChannelEvents<unknown>[E]): boolean
  }
  /** Keeps an event that is not a message, until the messages before it are delivered. */
  addEvent(event: ChannelEvent): void
  /** Notes the address of a message's sender. */
  noteSender(from: string | Buffer): void
  /** Destroys the channel with an error. */
  fail(error: Error): void
  /** Is called when a consumer has gone or when kept messages were delivered. */
  settle(): void
}

/**
 * The receiving half of a channel: delivers the messages of a turn to their consumers.
 *
 * ```text
 *  records ──read──► fresh ──► the waiting receive() and request() calls, in call order
 *                              else the 'message' listeners, unless the channel is paused
 *                              else kept ──► the next consumer
 * ```
 *
 * Kept messages are older than fresh ones, so listeners get them first.
 */
export class Receiver {
  readonly #host: ReceiverHost
  readonly #handle: ChannelHandle
  readonly #options: CheckedOptions
  readonly #reader: MessageReader
  #waiters: Waiters | undefined
  /** Messages that this turn has read, and the position of the first that is not delivered. */
  #fresh: Incoming[] = NONE
  #next = 0
  /** The number of records of this turn, and the position of the first that is not read. */
  #records = 0
  #record = 0
  /** Messages that were read when there was no consumer. */
  #kept: Queue<Incoming> = NONE_KEPT
  /** The bytes that had been received when the oldest kept message was kept. */
  #receivedAtKept: number | undefined
  #consumer: 'none' | 'listeners' | 'iterator' = 'none'
  /** The only `'message'` listener, where it can be called directly instead of by `emit`. */
  #loneListener: Listener | undefined
  #delivery: 'on' | 'paused' | 'stopped' = 'on'
  /** Whether a tick is scheduled in which kept messages are delivered. */
  #isDeliveryScheduled = false
  /** Whether malformed messages are kept for `receive({ malformed: true })`. */
  #keepsMalformed = false
  /** `unchecked`: reading stopped at `maxOpenFds`, and messages that were read are not delivered. */
  #fdsHeld: 'no' | 'unchecked' | 'reported' = 'no'

  constructor(handle: ChannelHandle, options: CheckedOptions, host: ReceiverHost) {
    this.#host = host
    this.#handle = handle
    this.#options = options
    this.#reader = new MessageReader(turn, handle, options)
  }

  /** Replies that arrived after their request was abandoned. */
  get lateReplies(): number {
    return this.#waiters?.lateReplies ?? 0
  }

  /** Messages that were read and not delivered. */
  get unread(): number {
    const delivered = this.#kept.length + this.#fresh.length - this.#next
    return delivered + turn.countMessages(this.#record, this.#records)
  }

  /** Records of this turn that are not read and are not messages. */
  get unreadEvents(): number {
    return this.#records - this.#record - turn.countMessages(this.#record, this.#records)
  }

  /** How much of a turn is left: each step of reading and delivering makes it less. */
  get unfinished(): number {
    const undelivered = this.#fresh.length - this.#next
    return 3 * (this.#records - this.#record) + 2 * undelivered + this.#kept.length
  }

  /** Calls of `receive()` and `request()` that wait. */
  get waiting(): number {
    return this.#waiters?.waiting ?? 0
  }

  get isPaused(): boolean {
    return this.#delivery === 'paused'
  }

  /** Pauses or resumes delivery to listeners. */
  setPaused(paused: boolean): void {
    this.#delivery = paused ? 'paused' : 'on'
  }

  /** Sets how many `'message'` listeners there are; `lone` is the only one, if it may be called directly. */
  setListeners(count: number, lone: Listener | undefined): void {
    if (count > 0) this.#consumer = 'listeners'
    else if (this.#consumer === 'listeners') this.#consumer = 'none'
    this.#loneListener = this.#options.credentials ? undefined : lone
  }

  /** Whether an iterator takes the messages. */
  get isIterating(): boolean {
    return this.#consumer === 'iterator'
  }

  beginIterating(): void {
    if (this.#consumer === 'iterator') {
      throw conflict('another iterator takes the messages of this channel')
    }
    if (this.#consumer === 'listeners') {
      throw conflict("a 'message' listener takes the messages of this channel")
    }
    this.#consumer = 'iterator'
  }

  endIterating(): void {
    this.#consumer = 'none'
  }

  /** Keeps malformed messages for the calls that take them, instead of emitting them. */
  keepMalformed(): void {
    this.#keepsMalformed = true
  }

  /** Waits for a message. */
  wait(how: WaitFor): Promise<Message | null> {
    if (this.#keepsMalformed && how.takesMalformed === false) this.#skipMalformed()
    if (this.#fdsHeld === 'unchecked') this.onFdsHeld()
    this.#waiters ??= new Waiters(() => this.#host.settle(), this.#options.sendTimeout)
    const message = this.#waiters.wait(how)
    this.#offerKept(this.#waiters)
    return message
  }

  /** Rejects the request with this number, whose message was not delivered. */
  fail(seq: number, error: unknown): void {
    this.#waiters?.fail(seq, error)
  }

  /** Rejects the waiting calls. Returns whether there was one. */
  failAll(error: unknown): boolean {
    return this.#waiters?.failAll(error) ?? false
  }

  /** Ends the waiting calls: nothing more arrives. */
  endAll(): void {
    this.#waiters?.endAll()
  }

  /**
   * Reads the records of a turn (0: continues with the turn before). Events that are not messages go
   * to `addEvent`.
   *
   * Plain messages go directly to a lone listener. All others are read before the first is delivered,
   * so that all descriptors have an owner whatever a listener does.
   */
  read(records: number): void {
    if (records > 0) {
      turn.begin(records)
      this.#records = records
      this.#record = 0
    }
    this.#deliverPlain()
    while (this.#record < this.#records) this.#read(this.#record++)
    turn.end()
  }

  /** Delivers what is kept and what this turn has read. If a listener throws, the rest stays. */
  deliver(): void {
    while (this.#kept.length > 0 && this.#isFlowing) this.#emit(this.#kept.shift() as Incoming)
    while (this.#next < this.#fresh.length) this.#hand(this.#fresh[this.#next++] as Incoming)
    if (this.#next > 0) {
      this.#fresh = NONE
      this.#next = 0
    }
    if (this.#fdsHeld === 'unchecked') this.onFdsHeld()
  }

  /**
   * Reads from the socket exactly while there is a consumer, and schedules the delivery of kept
   * messages. Returns 0, or a negative errno where the socket cannot be polled.
   */
  settle(): number {
    const isFlowing = this.#isFlowing
    if (isFlowing && this.#kept.length > 0) this.#deliverSoon()
    if (!this.#handle.isOpen) return 0
    return this.#handle.setReading(isFlowing || (this.waiting > 0 && !this.#isFull()))
  }

  /** Reading has stopped at `maxOpenFds`: warns once, when all that was read is delivered. */
  onFdsHeld(): void {
    if (this.#fdsHeld === 'reported') return
    this.#fdsHeld = this.unread > 0 ? 'unchecked' : 'no'
    // A listener may have closed the descriptors of this turn already.
    if (this.#fdsHeld === 'unchecked') return
    if (this.#handle.openFds < this.#options.maxOpenFds) return
    this.#fdsHeld = 'reported'
    process.emitWarning(
      'A channel stopped reading: as many received descriptors as maxOpenFds allows are open',
      {
        type: 'FdwireWarning',
        code: 'FDWIRE_MAX_OPEN_FDS',
        detail:
          'Close the FdSet of each message, or take() what you keep. This is reported once per channel.',
      },
    )
  }

  /** Stops delivery for good, and drops what was read. */
  stop(): void {
    this.#delivery = 'stopped'
    const dropped = this.#fresh.slice(this.#next)
    this.#fresh = NONE
    this.#next = 0
    while (this.#kept.length > 0) dropped.push(this.#kept.shift() as Incoming)
    for (const incoming of dropped) closeFds(incoming)
  }

  /** Whether messages go to listeners now. */
  get #isFlowing(): boolean {
    return this.#consumer === 'listeners' && this.#delivery === 'on'
  }

  /** Delivers plain messages directly. If the listener throws, native code calls again for the rest. */
  #deliverPlain(): void {
    const { channel } = this.#host
    while (this.#record < this.#records) {
      const listener = this.#loneListener
      if (listener === undefined || !this.#isDirect) return
      const value = this.#readPlain(this.#record)
      if (value === NOT_PLAIN) return
      this.#record++
      listener.call(channel, value, EMPTY_FD_SET, undefined)
    }
  }

  /** The value of a plain message. `NOT_PLAIN` also where that throws: `#read` reports it. */
  #readPlain(index: number): unknown {
    try {
      return this.#reader.readPlain(index)
    } catch {
      return NOT_PLAIN
    }
  }

  /** Reads a record. If that throws (a built-in method was replaced), a message is lost: fails. */
  #read(index: number): void {
    try {
      const incoming = this.#reader.read(index)
      if (incoming === undefined) this.#host.addEvent(turn.event(index))
      else this.#take(incoming)
    } catch (error) {
      this.#host.fail(error as Error)
    }
  }

  /** Whether the next message is for the listeners, and none precedes it. */
  get #isDirect(): boolean {
    return (
      this.#delivery === 'on' &&
      (this.#waiters === undefined || this.#waiters.isEmpty) &&
      this.#kept.length === 0 &&
      this.#next === this.#fresh.length
    )
  }

  #take(incoming: Incoming): void {
    const { from } = incoming
    if (from !== undefined && from !== null) this.#host.noteSender(from)
    // A listener that was called directly may have closed the channel.
    if (this.#delivery === 'stopped') closeFds(incoming)
    else if (this.#fresh === NONE) this.#fresh = [incoming]
    else this.#fresh.push(incoming)
  }

  /** Gives a fresh message to its consumer, or keeps it. */
  #hand(incoming: Incoming): void {
    const waiters = this.#waiters
    if (waiters?.offer(incoming)) return
    if (isMessage(incoming)) {
      if (this.#isFlowing && this.#kept.length === 0) this.#emit(incoming)
      else this.#keep(incoming)
    } else if (this.#keepsMalformed && !waiters?.isDue(incoming.from)) {
      this.#keep(incoming)
    } else {
      this.#emitMalformed(incoming)
    }
  }

  #keep(incoming: Incoming): void {
    if (this.#kept === NONE_KEPT) this.#kept = new Queue()
    if (this.#kept.length === 0) this.#receivedAtKept = undefined
    this.#kept.push(incoming)
  }

  #emit(incoming: Incoming): void {
    if (!isMessage(incoming)) {
      this.#emitMalformed(incoming)
      return
    }
    const { value, fds, from, credentials } = incoming
    const { channel } = this.#host
    if (credentials === undefined) channel.emit('message', value, fds, from)
    else channel.emit('message', value, fds, from, credentials)
  }

  #emitMalformed({ error, from }: Malformed): void {
    const { channel } = this.#host
    if (malformedChannel.hasSubscribers) malformedChannel.publish({ channel, error, from })
    channel.emit('malformed', error, from)
  }

  /** Gives kept messages to the waiting calls. */
  #offerKept(waiters: Waiters): void {
    const kept = this.#kept
    while (kept.length > 0 && waiters.waiting > 0) {
      if (!waiters.offer(kept.peek() as Incoming)) break
      kept.shift()
    }
    if (waiters.waiting === 0) return
    // The first kept message is for no call: requests wait for messages of other senders.
    for (let left = kept.length; left > 0; left--) {
      const incoming = kept.shift() as Incoming
      if (!waiters.offer(incoming)) kept.push(incoming)
    }
  }

  /** Delivers kept messages to listeners in a tick of its own, never inside a call of the program. */
  #deliverSoon(): void {
    if (this.#isDeliveryScheduled) return
    this.#isDeliveryScheduled = true
    this.#host.context.runInAsyncScope(nextTick, process, () => {
      this.#isDeliveryScheduled = false
      try {
        this.deliver()
      } finally {
        // If a listener throws, the next tick delivers the rest.
        this.#host.settle()
      }
    })
  }

  /** Emits the malformed messages that were kept before the next message. */
  #skipMalformed(): void {
    for (let first = this.#kept.peek(); first && !isMessage(first); first = this.#kept.peek()) {
      const skipped = first
      this.#kept.shift()
      this.#host.context.runInAsyncScope(nextTick, process, () => this.#emitMalformed(skipped))
    }
  }

  /** Whether too much is kept while a request waits for its reply. */
  #isFull(): boolean {
    if (this.#kept.length === 0) return false
    const receivedBytes = this.#handle.counter(Counter.ReceivedBytes)
    this.#receivedAtKept ??= receivedBytes
    return receivedBytes - this.#receivedAtKept > MAX_KEPT
  }
}

// What most channels have, of which there may be many. Nothing is ever added to these.
const NONE: Incoming[] = []
const NONE_KEPT = new Queue<Incoming>()

function closeFds(incoming: Incoming): void {
  if (isMessage(incoming)) incoming.fds.close()
}
