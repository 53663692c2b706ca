import { type Address, isSameAddress } from '../options/address.js'
import { closedError } from '../util/errors.js'
import { Queue } from '../util/queue.js'
import { now } from '../util/timers.js'
import { startLimits, type WaitLimits } from '../util/wait.js'
import { type From, type Incoming, isMessage, type Message } from '../wire/message.js'

/** One `receive()` or `request()` call. */
interface Waiter {
  /**
   * - `waiting`: the call waits for a message.
   * - `abandoned`: a request that timed out or was aborted. It keeps its place, so that its late
   *   reply does not go to the next request.
   * - `done`: the call has settled, and its place is skipped.
   */
  state: 'waiting' | 'abandoned' | 'done'
  resolve(message: Message | null): void
  reject(error: unknown): void
  /** The sender of the reply to a request; null: the peer; undefined for a `receive()`. */
  replyFrom: Address | null | undefined
  /** The number of the queued message of a request; 0 if it was not queued. */
  seq: number
  /** Whether a malformed message rejects this call. */
  takesMalformed: boolean
  /** When the place of an abandoned request expires (ms of `now`). */
  expires: number
  /** Removes the timer and the abort listener. */
  stopLimits(): void
}

/** What a call waits for, and for how long. */
export interface WaitFor extends WaitLimits {
  /** Whether a malformed message rejects this call (default: true for a request). */
  takesMalformed?: boolean
  /** The sender of the reply to a request; null: the peer. Absent for a `receive()`. */
  replyFrom?: Address | null
  /** The number of the queued message of a request (0: not queued). */
  seq?: number
}

/**
 * The waiting `receive()` and `request()` calls of a channel, in call order.
 *
 * A message goes to the first call that accepts it: a `receive()` accepts every message, a
 * `request()` only those from its destination.
 */
export class Waiters {
  readonly #calls = new Queue<Waiter>()
  readonly #onAbandoned: () => void
  readonly #keepPlace: number
  #waiting = 0
  #abandoned = 0
  /** When the next place of an abandoned request expires (ms of `now`). */
  #nextExpiry = Number.POSITIVE_INFINITY
  #lateReplies = 0

  /**
   * `onAbandoned` is called after a call has timed out or was aborted. `keepPlace` is how long an
   * abandoned request keeps its place (ms, 0: for ever).
   */
  constructor(onAbandoned: () => void, keepPlace: number) {
    this.#onAbandoned = onAbandoned
    this.#keepPlace = keepPlace === 0 ? Number.POSITIVE_INFINITY : keepPlace
  }

  /** Whether no call waits and no abandoned request keeps a place. */
  get isEmpty(): boolean {
    return this.#waiting === 0 && this.#abandoned === 0
  }

  /** The number of calls that wait. */
  get waiting(): number {
    return this.#waiting
  }

  /** The number of replies that were dropped because their request was abandoned. */
  get lateReplies(): number {
    return this.#lateReplies
  }

  /** Waits for a message. */
  wait({ timeout, signal, takesMalformed, replyFrom, seq = 0 }: WaitFor): Promise<Message | null> {
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        state: 'waiting',
        resolve,
        reject,
        replyFrom,
        seq,
        takesMalformed: takesMalformed ?? replyFrom !== undefined,
        expires: 0,
        stopLimits: nothing,
      }
      if (timeout > 0 || signal !== undefined) {
        waiter.stopLimits = startLimits(
          { timeout, signal },
          { late: 'No message arrived' },
          error => this.#abandon(waiter, error),
        )
      }
      this.#expirePlaces()
      this.#calls.push(waiter)
      this.#waiting++
    })
  }

  /**
   * Gives a message, or the error of a malformed one, to the first call that accepts it. Returns
   * false if no call does.
   */
  offer(incoming: Incoming): boolean {
    this.#expirePlaces()
    const waiter = this.#firstFor(incoming.from)
    if (waiter === undefined) return false
    if (!isMessage(incoming) && !waiter.takesMalformed) return false
    const { state } = waiter
    this.#remove(waiter)
    if (state === 'abandoned') {
      this.#lateReplies++
      if (isMessage(incoming)) incoming.fds.close()
    } else if (isMessage(incoming)) waiter.resolve(incoming)
    else waiter.reject(incoming.error)
    return true
  }

  /** Whether a call accepts the next message of this sender. */
  isDue(from: From): boolean {
    return this.#firstFor(from) !== undefined
  }

  /** Rejects the request whose queued message has this number, which was not delivered. */
  fail(seq: number, error: unknown): void {
    for (let at = 0; at < this.#calls.length; at++) {
      const waiter = this.#calls.at(at) as Waiter
      if (waiter.state === 'done' || waiter.seq !== seq) continue
      const { state } = waiter
      this.#remove(waiter)
      if (state === 'waiting') waiter.reject(error)
      return
    }
  }

  /** Rejects every waiting call. Returns whether there was one. */
  failAll(error: unknown): boolean {
    const waiting = this.#takeAll()
    for (const waiter of waiting) waiter.reject(error)
    return waiting.length > 0
  }

  /** Ends every waiting call: a `receive()` resolves to null, a `request()` rejects. */
  endAll(): void {
    for (const waiter of this.#takeAll()) {
      if (waiter.replyFrom === undefined) waiter.resolve(null)
      else waiter.reject(closedError('request'))
    }
  }

  #firstFor(from: From): Waiter | undefined {
    const calls = this.#calls
    while (calls.peek()?.state === 'done') calls.shift()
    for (let at = 0; at < calls.length; at++) {
      const waiter = calls.at(at) as Waiter
      if (waiter.state !== 'done' && accepts(waiter, from)) return waiter
    }
    return undefined
  }

  /**
   * Marks a call as done. Its place in the queue is skipped later, or removed if it is the first.
   */
  #remove(waiter: Waiter): void {
    if (waiter.state === 'waiting') {
      waiter.stopLimits()
      this.#waiting--
    } else if (waiter.state === 'abandoned') {
      this.#abandoned--
    }
    waiter.state = 'done'
    const calls = this.#calls
    if (calls.peek() === waiter) calls.shift()
    // Places of finished calls must not accumulate after a call that waits for a long time.
    else if (calls.length > 2 * (this.#waiting + this.#abandoned) + MAX_DONE) {
      calls.keepOnly(({ state }) => state !== 'done')
    }
  }

  #takeAll(): Waiter[] {
    const waiting: Waiter[] = []
    for (let waiter = this.#calls.peek(); waiter !== undefined; waiter = this.#calls.peek()) {
      if (waiter.state === 'waiting') waiting.push(waiter)
      this.#remove(waiter)
    }
    return waiting
  }

  #abandon(waiter: Waiter, error: Error): void {
    if (waiter.replyFrom === undefined) {
      this.#remove(waiter)
    } else {
      waiter.state = 'abandoned'
      waiter.expires = now() + this.#keepPlace
      this.#nextExpiry = Math.min(this.#nextExpiry, waiter.expires)
      this.#waiting--
      this.#abandoned++
    }
    waiter.reject(error)
    this.#onAbandoned()
  }

  /** Removes the places of abandoned requests that have expired. */
  #expirePlaces(): void {
    if (this.#abandoned === 0) return
    const time = now()
    if (time < this.#nextExpiry) return
    this.#nextExpiry = Number.POSITIVE_INFINITY
    const abandoned: Waiter[] = []
    for (let at = 0; at < this.#calls.length; at++) {
      const waiter = this.#calls.at(at) as Waiter
      if (waiter.state === 'abandoned') abandoned.push(waiter)
    }
    for (const waiter of abandoned) {
      if (waiter.expires <= time) this.#remove(waiter)
      else this.#nextExpiry = Math.min(this.#nextExpiry, waiter.expires)
    }
  }
}

/** The most places of finished calls in the queue before it is compacted. */
const MAX_DONE = 32

function accepts({ replyFrom }: Waiter, from: From): boolean {
  if (replyFrom === undefined || replyFrom === null) return true
  return from !== null && from !== undefined && isSameAddress(replyFrom, from)
}

function nothing(): void {}
