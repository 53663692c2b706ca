import {
  Counter,
  FDS_OUT,
  FRAME_EXPANSION,
  FRAME_OVERHEAD,
  MAX_ROOM,
  QUEUE_FULL,
  ROOM,
  TAKEN,
} from '#native'
import { collectFds } from '../fds/borrow.js'
import { flushes, gather, gatherableLength } from '../native/gather.js'
import type { ChannelHandle } from '../native/handle.js'
import { table } from '../native/memory.js'
import { type Address, isRelative } from '../options/address.js'
import type { CheckedOptions } from '../options/check.js'
import { copyOf } from '../util/buffers.js'
import { asBytes, describeValue } from '../util/checks.js'
import { diagnostics } from '../util/diagnostics.js'
import { type ClosedBy, closedError, FdwireError } from '../util/errors.js'
import { NO_OPTIONS } from '../util/no-options.js'
import { type Encoded, type EncodingCodec, encodingOf, isEmpty } from '../wire/encodings/index.js'
import { encodeJsonBatch } from '../wire/encodings/json.js'
import { unframeableError } from '../wire/errors.js'
import { type FrameRule, frameRuleOf } from '../wire/frame-rules.js'
import { badAddressError, Destinations } from './destinations.js'
import type { SendOptions } from './events.js'
import { FlushWaiters } from './flush-waiters.js'
import { sendError } from './send-errors.js'
import { checkSendOptions } from './send-options.js'

// A local constant: the optimizing compiler folds it, which it does not do with an import.
const OVERHEAD = FRAME_OVERHEAD

/** How much of a batch was sent. */
interface Progress {
  /** The number of sent messages. */
  sent: number
  /** What `send` would return for the last one. */
  queued: number
}

/** The sending half of a channel: encodes values, hands them to native code, reports its errors. */
export class Sender {
  /** The channel, for reports. */
  readonly #channel: unknown
  readonly #handle: ChannelHandle
  readonly #options: CheckedOptions
  readonly #encoding: EncodingCodec
  // Read for every message, so they are fields of their own.
  readonly #isStream: boolean
  readonly #sendsEmpty: boolean
  /** Which messages the protocol cannot carry; undefined if it can carry all. */
  readonly #rule: FrameRule | undefined
  /** How many bytes may be gathered with an empty queue; 0 on a datagram socket. */
  #maxRoom: number
  /** How many bytes may still be gathered, if `flushes.count` is `#flushCount`. */
  #room = 0
  #flushCount = -1
  /** Whether the channel has a peer; undefined: not determined yet. */
  #connected: boolean | undefined
  #destinations: Destinations | undefined
  #flushes: FlushWaiters | undefined
  #closedBy: ClosedBy | undefined
  /** Whether `#closedBy` is set only until the channel reconnects. */
  #isRefusing = false
  #isDropping = false
  /** Handles the loss of the connection of packets. Returns whether they are queued then. */
  #onLoss: ((code: number) => boolean) | undefined

  constructor(handle: ChannelHandle, options: CheckedOptions, channel: unknown) {
    this.#channel = channel
    this.#handle = handle
    this.#options = options
    this.#encoding = encodingOf(options.encoding)
    this.#isStream = options.type === 'stream'
    this.#sendsEmpty = options.empty === 'sent'
    this.#rule = frameRuleOf(options)
    this.#maxRoom = this.#isStream ? maxRoomOf(options) : 0
  }

  /** The calls that wait for the kernel to take messages; undefined before the first one. */
  get flushes(): FlushWaiters | undefined {
    return this.#flushes
  }

  /** Whether there are messages that the kernel has not taken. */
  get hasQueue(): boolean {
    return this.#handle.counter(Counter.OldestQueued) !== 0
  }

  /** Whether messages are dropped, because the connection has failed. */
  get isDropping(): boolean {
    return this.#isDropping
  }

  /** Whether sending has ended on this side. */
  get isClosed(): boolean {
    return this.#closedBy !== undefined && !this.#isRefusing
  }

  /**
   * Sends a value. Returns the number of the queued message, or 0 if the kernel has taken it or the
   * queue of a stream is not above its high-water mark.
   */
  send(value: unknown, options: SendOptions | undefined, call = 'send'): number {
    const encoded = this.#encoding.encode(value)
    if (options === undefined) {
      if (this.#gather(encoded)) return 0
      if (this.#skips(encoded, 0)) return 0
      return this.#sendOne(encoded, 0, undefined)
    }
    checkSendOptions(call, options)
    const to = this.#destination(options)
    const fds = collectFds(options.fds, fdsOut(this.#options.maxFds))
    if (this.#skips(encoded, fds)) return 0
    return this.#sendOne(encoded, fds, to)
  }

  /** Sends values one after another. Returns whether `send` would return 0 for the last one. */
  sendAll(values: Iterable<unknown>, options: SendOptions = NO_OPTIONS): boolean {
    checkSendOptions('sendAll', options)
    if (typeof values !== 'object' || values === null || !(Symbol.iterator in values)) {
      throw new TypeError(`sendAll takes an array or iterable, not ${describeValue(values)}`)
    }
    const to = this.#destination(options)
    const list: unknown[] = [...values]
    const batch = this.#canBatch && this.#onLoss === undefined ? encodeJsonBatch(list) : undefined
    const texts = batch === undefined ? this.#encodeAll(list) : batch.texts
    // Encoding runs code of the values, which may have closed the channel.
    if (this.#closedBy !== undefined) throw closedError('sendAll', this.#closedBy)
    if (this.#isDropping) return true
    const progress = { sent: 0, queued: 0 }
    if (batch !== undefined) this.#sendArrays(batch.arrays, to, progress)
    this.#sendEach(texts, to, progress)
    return progress.queued === 0
  }

  /** Resolves when the kernel has taken everything that was sent before. */
  async flush(): Promise<void> {
    this.#handle.flush()
    await this.#flushWaiters().wait()
  }

  /** Resolves when the kernel has taken a packet; `seq` is what `send` returned for it. */
  async flushMessage(seq: number, to: Address | undefined): Promise<void> {
    if (seq > 0) await this.#flushWaiters().waitFor(seq, to)
  }

  /** Resolves to false when the queue is empty, or to true after `timeout` (ms, 0: no limit). */
  isQueueLate(timeout: number): Promise<boolean> {
    return this.#flushWaiters().isLate(timeout)
  }

  /** Refuses to send from now on. The queue is still sent. */
  close(by: ClosedBy): void {
    this.#closedBy = by
    this.#isRefusing = false
  }

  /** Sets whether messages are refused because the connection is lost. */
  setRefusing(refusing: boolean): void {
    if (this.isClosed) return
    this.#isRefusing = refusing
    this.#closedBy = refusing ? 'peer' : undefined
  }

  /** Drops what is sent from now on, as the kernel does if the peer dies a moment later. */
  drop(): void {
    this.#isDropping = true
    this.#maxRoom = 0
    this.#room = 0
  }

  /** Sets what handles the loss of a connection of packets that can be replaced. */
  setLossHandler(onLoss: (code: number) => boolean): void {
    if (!this.#isStream) this.#onLoss = onLoss
  }

  /** Remembers the address of a message's sender if it is a relative path. */
  noteSender(from: string | Buffer): void {
    if (isRelative(from)) this.#requireDestinations().note(from)
  }

  /** Returns `flushes`, which it makes if necessary. */
  #flushWaiters(): FlushWaiters {
    this.#flushes ??= new FlushWaiters(this.#handle)
    return this.#flushes
  }

  #requireDestinations(): Destinations {
    this.#destinations ??= new Destinations(this.#options)
    return this.#destinations
  }

  /**
   * Gathers a message of a stream for native code, which then takes many messages with one call.
   *
   * Returns false for a message that native code must take alone: a long or empty one, one that the
   * protocol cannot carry, or one with which the queue may exceed a limit.
   */
  #gather(encoded: Encoded): boolean {
    if (this.#flushCount !== flushes.count && !this.#renewRoom()) return false
    const length = gatherableLength(encoded)
    const room = this.#room - length - OVERHEAD
    if (length === 0 || room < 0 || this.#closedBy !== undefined) return false
    if (this.#mayRefuse(encoded)) return false
    this.#room = room
    gather(this.#handle.index, encoded, length)
    this.#handle.flushSoon()
    return true
  }

  /** Whether native code must decide if the protocol can carry a text or an array of bytes. */
  #mayRefuse(encoded: Encoded): boolean {
    return this.#rule?.mayRefuse(encoded as string | Uint8Array) === true
  }

  /** Whether the elements of a JSON array can be sent as messages without a look at each. */
  get #canBatch(): boolean {
    return this.#options.json && this.#rule === undefined
  }

  /** After a flush that has emptied all queues, a stream may gather again. */
  #renewRoom(): boolean {
    if (!flushes.isClean) return false
    this.#flushCount = flushes.count
    this.#room = this.#maxRoom
    return true
  }

  /** Hands one message to native code. Throws if native code refuses it. */
  #sendOne(encoded: Encoded, fds: number, to: Address | undefined): number {
    const result = this.#sendNow(encoded, fds, to)
    if (result < 0) throw this.#error(result, to, fds, () => lengthOf(encoded))
    return result
  }

  #sendNow(encoded: Encoded, fds: number, to: Address | undefined): number {
    if (this.#closedBy !== undefined) throw closedError('send', this.#closedBy)
    if (this.#isDropping) return 0
    const result = this.#handle.send(encoded, fds, to)
    if (this.#isStream) this.#afterSend()
    const isLost = result !== undefined && result < 0 && this.#onLoss?.(result)
    return (isLost ? this.#handle.send(encoded, fds, to) : result) ?? 0
  }

  /** Reads how much room the queue has left, which native code has just written. */
  #afterSend(): void {
    this.#room = table[ROOM] as number
    this.#flushCount = flushes.count
    this.#handle.flushSoon()
  }

  /** Sends messages, all of which the protocol can carry. */
  #sendEach(messages: Encoded[], to: Address | undefined, progress: Progress): void {
    for (let index = 0; index < messages.length; index++) {
      const end = to === undefined ? this.#gatherMany(messages, index) : index
      if (end > index) this.#note(0, end - index, progress)
      index = end
      const encoded = messages[index]
      if (encoded === undefined || this.#skips(encoded, 0)) continue
      const result = this.#sendNow(encoded, 0, to)
      this.#note(result, result < 0 ? 0 : 1, progress)
      if (result < 0) this.#fail(result, to, progress, () => lengthOf(encoded))
    }
  }

  /** Gathers checked messages from index `first` on. Returns the index after the last one. */
  #gatherMany(messages: Encoded[], first: number): number {
    if (this.#flushCount !== flushes.count && !this.#renewRoom()) return first
    const channel = this.#handle.index
    let room = this.#room
    let index = first
    for (; index < messages.length; index++) {
      const encoded = messages[index] as Encoded
      const length = gatherableLength(encoded)
      if (length === 0 || length + OVERHEAD > room) break
      room -= length + OVERHEAD
      gather(channel, encoded, length)
    }
    this.#room = room
    if (index > first) this.#handle.flushSoon()
    return index
  }

  #sendArrays(arrays: string[], to: Address | undefined, progress: Progress): void {
    for (const array of arrays) {
      const queued = this.#handle.sendMany(array, to) ?? 0
      if (this.#isStream) this.#afterSend()
      const taken = table[TAKEN] as number
      this.#note(queued, taken, progress)
      if (queued < 0) this.#fail(queued, to, progress, () => lengthOfElement(array, taken))
    }
  }

  /** Notes that `count` messages were sent, and the result for the next or the last one. */
  #note(result: number, count: number, progress: Progress): void {
    progress.sent += count
    progress.queued = result
  }

  /** Throws the error of the message of a batch that native code has refused. */
  #fail(code: number, to: Address | undefined, { sent }: Progress, length: () => number): never {
    throw Object.assign(this.#error(code, to, 0, length), { sent })
  }

  /**
   * Encodes a batch in place, before any of it is sent. Sets `index` on the error of a value.
   * Copies bytes whose memory the encoding of the program may use for the next value.
   */
  #encodeAll(values: unknown[]): Encoded[] {
    const { isCustom } = this.#encoding
    let index = 0
    try {
      for (; index < values.length; index++) {
        const encoded = this.#encoding.encode(values[index])
        if (!this.#skips(encoded, 0) && this.#rule !== undefined) this.#checkFrame(encoded)
        values[index] = isCustom && typeof encoded !== 'string' ? copyOf(asBytes(encoded)) : encoded
      }
    } catch (error) {
      throw Object.assign(error as Error, { index })
    }
    return values as Encoded[]
  }

  /** Throws for a message that the protocol cannot frame. */
  #checkFrame(encoded: Encoded): void {
    const isCheckable = typeof encoded === 'string' || encoded instanceof Uint8Array
    if (isCheckable && !this.#mayRefuse(encoded)) return
    const bytes = typeof encoded === 'string' ? Buffer.from(encoded) : asBytes(encoded)
    const result = this.#handle.checkFrame(bytes)
    if (result < 0) throw unframeableError(result, this.#options.protocol)
  }

  /** Whether a message is empty and the protocol skips it. Throws if the protocol refuses it. */
  #skips(encoded: Encoded, fds: number): boolean {
    if (this.#sendsEmpty || !isEmpty(encoded)) return false
    const { empty, protocol } = this.#options
    if (empty === 'refused' || fds > 0) {
      throw new FdwireError('ERR_FDWIRE_UNENCODABLE', `${protocol} cannot carry an empty message`)
    }
    if (this.#closedBy !== undefined) throw closedError('send', this.#closedBy)
    return true
  }

  /** Returns the error for a negative code that native code has returned for a message. */
  #error(code: number, to: Address | undefined, fds: number, length: () => number): Error {
    if (code === QUEUE_FULL && diagnostics.limit.hasSubscribers) {
      diagnostics.limit.publish({ channel: this.#channel, limit: 'maxQueued', to })
    }
    const [handle, options, isConnected] = [this.#handle, this.#options, this.#isConnected()]
    return sendError(code, { handle, options, isConnected, to, fds, length })
  }

  #destination({ to, allowRelative }: SendOptions): Address | undefined {
    if (to === undefined) return undefined
    if (this.#isConnected())
      throw badAddressError('to: the channel has a peer, and sends to no other address')
    if (to === null) {
      throw badAddressError('to is null: a sender without an address cannot be a destination')
    }
    return this.#requireDestinations().check(to, allowRelative)
  }

  #isConnected(): boolean {
    this.#connected ??= this.#isStream || this.#handle.peerAddress() !== null
    return this.#connected
  }
}

/** Returns the length of a message in bytes. */
function lengthOf(encoded: Encoded): number {
  return typeof encoded === 'string' ? Buffer.byteLength(encoded) : encoded.byteLength
}

/** Returns the length in bytes of an element of a JSON array. */
function lengthOfElement(array: string, index: number): number {
  const values: unknown[] = JSON.parse(array)
  return Buffer.byteLength(JSON.stringify(values[index]))
}

/** Returns how many bytes a stream may gather before it has to check the limits of its queue. */
function maxRoomOf({ highWaterMark, maxQueued }: CheckedOptions): number {
  return Math.min(highWaterMark, MAX_ROOM, Math.floor(maxQueued / FRAME_EXPANSION))
}

const fdsOutViews = new Map<number, Int32Array>()

/** Returns the part of the shared table for the descriptors of the next message, at most `max`. */
function fdsOut(max: number): Int32Array {
  let view = fdsOutViews.get(max)
  if (view === undefined) {
    view = table.subarray(FDS_OUT, FDS_OUT + max)
    fdsOutViews.set(max, view)
  }
  return view
}
