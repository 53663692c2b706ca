import type { AsyncResource } from 'node:async_hooks'
import { channel as diagnostics } from 'node:diagnostics_channel'
import { EMPTY_FD_SET } from '../fds/fdset.js'
import { environment } from '../native/environment.js'
import type { ChannelHandle } from '../native/handle.js'
import type { CheckedOptions } from '../options/check.js'
import { conflict, systemError } from '../util/errors.js'
import { Queue } from '../util/queue.js'
import { type From, type Item, isMessage, type Malformed, type Message } from '../wire/message.js'
import {
  beginTurn,
  countMessages,
  endTurn,
  type Notice,
  OTHER,
  Reader,
  type Refused,
  readNotice,
} from '../wire/records.js'
import { Consumers, type WaitFor } from './consumers.js'
import type { ChannelEvents } from './events.js'
import type { Port } from './port.js'

/** What is kept for nobody, before reading for a `request()` stops (bytes). */
const MAX_KEPT = 32 * 1024 * 1024

const malformedChannel = diagnostics('fdwire:malformed')

/** What the inbox needs of its channel. */
export interface InboxChannel {
  emit<E extends 'message' | 'malformed'>(event: E, ...args: ChannelEvents<unknown>[E]): boolean
  destroy(error: Error): unknown
  /** @internal What was kept has been handed out, maybe all of it. */
  onHandedOut(): void
}

/** A listener as EventEmitter keeps it: one that was added by `once` removes itself when called. */
// biome-ignore lint/complexity/noBannedTypes: that is what `rawListeners` gives
export type Listener = Function

/** Who sent a message, which the sending half has to know. */
export type NoteSender = (from: From) => void

/**
 * The receiving half of a channel: from the records of a turn to whoever wants the messages.
 *
 * ```text
 *  records ──read──► fresh ──hand──► a waiting receive() or request(), in the order of the calls
 *                                    or else the 'message' listeners, unless paused
 *                                    or else kept ──► whoever comes first
 * ```
 *
 * What is kept is older than all that is fresh, and goes to listeners before it.
 */
export class Inbox {
  readonly #owner: ChannelHandle
  readonly #port: Port
  readonly #channel: InboxChannel
  readonly #context: AsyncResource
  readonly #maxOpenFds: number
  /** Whether a message tells its sender's credentials. */
  readonly #credentials: boolean
  readonly #note: NoteSender
  readonly #reader: Reader
  readonly #consumers: Consumers
  /** What this turn has read and not handed out yet, and how far it came. */
  #fresh: Item[] = []
  #next = 0
  /** The records of this turn, and how many of them have been worked on. */
  #records = 0
  #record = 0
  /** The only `'message'` listener, where nothing else is to be done than to call it. */
  #lone: Listener | undefined
  /** What was read before, when nobody wanted it. */
  readonly #kept = new Queue<Item>()
  /** What had been received (bytes) when the oldest of these came. */
  #keptSince: number | undefined
  /** Malformed messages are kept for a `receive` that takes them: fdwire/jsoncomm. */
  #keepMalformed = false
  #malformed = 0
  #listening = false
  #paused = false
  #iterating = false
  #wanted = false
  #scheduled = false
  #stopped = false
  /** Reading has stopped at the limit of open descriptors, with messages that nobody has got yet. */
  #held = false
  #warned = false

  constructor(
    owner: ChannelHandle,
    port: Port,
    channel: InboxChannel,
    context: AsyncResource,
    options: CheckedOptions,
    note: NoteSender,
  ) {
    this.#owner = owner
    this.#port = port
    this.#channel = channel
    this.#context = context
    this.#maxOpenFds = options.maxOpenFds
    this.#credentials = options.credentials
    this.#consumers = new Consumers(() => this.updateWant(), options.sendTimeout)
    this.#note = note
    this.#reader = new Reader(owner, options)
  }

  /** Messages that could not be delivered. */
  get malformed(): number {
    return this.#malformed
  }

  /** Those of them that native code took for messages. */
  get refused(): Refused {
    return this.#reader.refused
  }

  /** Replies to requests that had been given up. */
  get lateReplies(): number {
    return this.#consumers.lateReplies
  }

  /** Messages that were read and that nobody has taken yet. */
  get unread(): number {
    const told = this.#kept.length + this.#fresh.length - this.#next
    return told + countMessages(this.#record, this.#records)
  }

  /** Records of this turn that nobody has looked at, and that are no messages. */
  get untold(): number {
    return this.#records - this.#record - countMessages(this.#record, this.#records)
  }

  /** Calls that wait. */
  get waiting(): number {
    return this.#consumers.waiting
  }

  get paused(): boolean {
    return this.#paused
  }

  set paused(paused: boolean) {
    this.#paused = paused
    this.updateWant()
  }

  /** The `'message'` listeners have changed; `lone` is the only one, if it can be called directly. */
  setListeners(count: number, lone: Listener | undefined): void {
    this.#listening = count > 0
    this.#lone = this.#credentials ? undefined : lone
    this.updateWant()
  }

  /** Whether an iteration has the messages, beside which there are no listeners. */
  get iterating(): boolean {
    return this.#iterating
  }

  beginIterating(): void {
    if (this.#iterating) throw conflict('another iterator takes the messages of this channel')
    if (this.#listening) throw conflict("a 'message' listener takes the messages of this channel")
    this.#iterating = true
  }

  endIterating(): void {
    this.#iterating = false
  }

  /** Lets malformed messages wait for who takes them. */
  keepMalformed(): void {
    this.#keepMalformed = true
  }

  /** Waits for a message. */
  wait(how: WaitFor): Promise<Message | null> {
    if (this.#keepMalformed && how.takesMalformed === false) this.#skipMalformed()
    if (this.#held) this.warnHeld()
    const message = this.#consumers.wait(how)
    this.#offerKept()
    this.updateWant()
    return message
  }

  /** Rejects the request that was queued under this number, since it was given up. */
  fail(seq: number, error: unknown): void {
    this.#consumers.fail(seq, error)
  }

  /** Rejects everybody who waits; whether there was somebody. */
  failAll(error: unknown): boolean {
    return this.#consumers.failAll(error)
  }

  /** Tells everybody who waits that nothing comes any more. */
  endAll(): void {
    this.#consumers.endAll()
  }

  /**
   * Works on the records of a turn; those that are no messages are pushed to `notices`.
   *
   * Messages without descriptors go straight to a lone listener, as long as nobody else wants them.
   * All others are read before the first is delivered: no descriptor depends on what a listener does.
   */
  read(records: number, notices: Queue<Notice>): void {
    if (records > 0) {
      beginTurn(records)
      this.#records = records
      this.#record = 0
    }
    this.#deliverDirectly()
    while (this.#record < this.#records) {
      const index = this.#record++
      const item = this.#reader.read(index)
      if (item === undefined) {
        notices.push(readNotice(index))
        continue
      }
      if (item.from !== undefined) this.#note(item.from)
      if (!isMessage(item)) this.#malformed++
      // A listener that was called directly may have closed the channel.
      if (!this.#stopped) this.#fresh.push(item)
      else if (isMessage(item)) item.fds.close()
    }
    endTurn()
  }

  /** Where the listener throws, native code calls again, and the next record is the next. */
  #deliverDirectly(): void {
    const channel = this.#channel
    while (this.#record < this.#records) {
      const listener = this.#lone
      if (listener === undefined || !this.#isDirect()) return
      const value = this.#reader.readValue(this.#record)
      if (value === OTHER) return
      this.#record++
      listener.call(channel, value, EMPTY_FD_SET, undefined)
    }
  }

  /** Whether the next message is for the listeners, and nothing stands before it. */
  #isDirect(): boolean {
    return (
      !this.#paused &&
      !this.#stopped &&
      this.#consumers.isIdle &&
      this.#kept.length === 0 &&
      this.#next === this.#fresh.length
    )
  }

  /** Hands out what was kept and what is fresh. Where a listener throws, the rest keeps its place. */
  deliver(): void {
    while (this.#kept.length > 0 && this.#listening && !this.#paused) {
      const item = this.#kept.shift() as Item
      if (isMessage(item)) this.#emit(item)
      else this.#report(item)
    }
    // A listener may close the channel: then nothing is left here.
    while (this.#next < this.#fresh.length) this.#hand(this.#fresh[this.#next++] as Item)
    if (this.#next > 0) {
      this.#fresh = []
      this.#next = 0
    }
    if (this.#held) this.warnHeld()
  }

  /** Has native code read if somebody wants messages, and hands out what was kept. */
  updateWant(): void {
    const delivers = this.#listening && !this.#paused && !this.#stopped
    const wanted = delivers || (this.#consumers.waiting > 0 && !this.#isGlutted())
    if (wanted !== this.#wanted) {
      this.#wanted = wanted
      if (this.#owner.index >= 0) {
        const result = this.#port.want(wanted)
        if (result < 0) this.#channel.destroy(systemError(result, 'epoll_ctl'))
      }
    }
    if (delivers && this.#kept.length > 0) this.#deliverSoon()
  }

  /** Says that reading has stopped at the limit of open descriptors, unless it goes on already. */
  warnHeld(): void {
    // What was read ahead is nobody's fault: ask again when it has been handed out.
    this.#held = this.unread > 0
    // What the turn has brought may be closed already.
    if (this.#held || this.#warned || (this.#stats()?.openFds ?? 0) < this.#maxOpenFds) return
    this.#warned = true
    process.emitWarning(
      'A channel stopped reading: as many received descriptors as maxOpenFds allows are open',
      {
        type: 'FdwireWarning',
        code: 'FDWIRE_MAX_OPEN_FDS',
        detail: 'Close the FdSet of each message, or take() what you keep. Said once a channel.',
      },
    )
  }

  /** Drops what nobody has taken, and delivers nothing any more. */
  stop(): void {
    this.#stopped = true
    const untaken = this.#fresh.slice(this.#next)
    this.#fresh = []
    this.#next = 0
    while (this.#kept.length > 0) untaken.push(this.#kept.shift() as Item)
    for (const item of untaken) if (isMessage(item)) item.fds.close()
    this.updateWant()
  }

  /** Gives an item to its consumer, or keeps it. */
  #hand(item: Item): void {
    if (this.#consumers.offer(item)) return
    if (!isMessage(item)) {
      if (this.#keepMalformed && !this.#consumers.isDue(item.from)) this.#keep(item)
      else this.#report(item)
    } else if (this.#listening && !this.#paused && this.#kept.length === 0) {
      this.#emit(item)
    } else {
      this.#keep(item)
    }
  }

  #keep(item: Item): void {
    if (this.#kept.length === 0) this.#keptSince = undefined
    this.#kept.push(item)
  }

  #emit({ value, fds, from, credentials }: Message): void {
    if (credentials === undefined) this.#channel.emit('message', value, fds, from)
    else this.#channel.emit('message', value, fds, from, credentials)
  }

  #report({ error, from }: Malformed): void {
    if (malformedChannel.hasSubscribers) {
      malformedChannel.publish({ channel: this.#channel, error, from })
    }
    this.#channel.emit('malformed', error, from)
  }

  /** Gives what was kept to who waits. */
  #offerKept(): void {
    const kept = this.#kept
    while (kept.length > 0 && this.#consumers.waiting > 0) {
      if (!this.#consumers.offer(kept.peek() as Item)) break
      kept.shift()
    }
    if (this.#consumers.waiting === 0) return
    // Who waits now are requests to others than the first one's sender: once round the queue.
    for (let left = kept.length; left > 0; left--) {
      const item = kept.shift() as Item
      if (!this.#consumers.offer(item)) kept.push(item)
    }
  }

  /** Listeners get what was kept in a tick of its own, never inside a call of theirs. */
  #deliverSoon(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    this.#context.runInAsyncScope(process.nextTick, process, () => {
      this.#scheduled = false
      try {
        this.deliver()
      } finally {
        // What is behind a listener that throws comes in the next tick.
        this.updateWant()
        this.#channel.onHandedOut()
      }
    })
  }

  /** Reports what was kept for a `receive` that takes it, since now comes one that doesn't. */
  #skipMalformed(): void {
    for (let item = this.#kept.peek(); item && !isMessage(item); item = this.#kept.peek()) {
      const skipped = item
      this.#kept.shift()
      this.#context.runInAsyncScope(process.nextTick, process, () => this.#report(skipped))
    }
  }

  #stats() {
    return environment.stats(this.#owner.index)
  }

  /** Whether too much was kept while a request waits for the reply behind it. */
  #isGlutted(): boolean {
    if (this.#kept.length === 0 || this.#owner.index < 0) return false
    const receivedBytes = this.#stats().receivedBytes
    this.#keptSince ??= receivedBytes
    return receivedBytes - this.#keptSince > MAX_KEPT
  }
}
