import type { Address } from '../options/address.js'
import { type ClosedBy, closedError } from '../util/errors.js'
import { Queue } from '../util/queue.js'
import { clearTimeout, now, setImmediate, setTimeout } from '../util/timers.js'
import { startLimits, type WaitLimits } from '../util/wait.js'
import { type From, type Incoming, isMessage, type Message } from '../wire/message.js'
import { type Match, MatchRequests } from './match-requests.js'
import { isFrom, isInFlight } from './senders.js'

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
  /** Decides whether a message is the reply to a request. */
  match?: Match | undefined
}

/** How the waiting calls affect their channel. */
export interface WaitersHost {
  /** Called after a call has timed out or was aborted. */
  onAbandoned(): void
  /**
   * How long an abandoned request keeps its place (ms, 0: for ever). Then the place expires, or, if
   * there is `onReplyLost`, the reply is lost.
   */
  keepPlace: number
  /**
   * Called if the reply to an abandoned request has not arrived in time, on a connection, where a
   * reply cannot be lost alone. If it returns, the request keeps its place for another `keepPlace`.
   */
  onReplyLost?: (() => void) | undefined
}

/**
 * The waiting `receive()` and `request()` calls of a channel, in call order.
 *
 * A message goes to the first call that accepts it: a `receive()` accepts every message, a
 * `request()` only those from its destination. Requests with a predicate come first.
 */
export class Waiters {
  readonly #calls = new Queue<Waiter>()
  readonly #host: WaitersHost
  readonly #keepPlace: number
  #matching: MatchRequests | undefined
  /** Fires when the next place of an abandoned request expires, if the reply is lost then. */
  #lossTimer: NodeJS.Timeout | undefined
  #waiting = 0
  #abandoned = 0
  /** When the next place of an abandoned request expires (ms of `now`). */
  #nextExpiry = Number.POSITIVE_INFINITY
  #lateReplies = 0

  constructor(host: WaitersHost) {
    this.#host = host
    this.#keepPlace = host.keepPlace === 0 ? Number.POSITIVE_INFINITY : host.keepPlace
  }

  /** Whether no call waits and no abandoned request keeps a place. */
  get isEmpty(): boolean {
    return this.waiting === 0 && this.#abandoned === 0
  }

  /** The number of calls that wait. */
  get waiting(): number {
    return this.#waiting + (this.#matching?.waiting ?? 0)
  }

  /** The number of calls that hold a place in the order: those without a predicate. */
  get ordered(): number {
    return this.#waiting
  }

  /** Whether the reply to an abandoned request must still arrive, since it cannot be lost alone. */
  get awaitsLateReply(): boolean {
    return this.#abandoned > 0 && this.#host.onReplyLost !== undefined
  }

  /** The number of replies that were dropped because their request was abandoned. */
  get lateReplies(): number {
    return this.#lateReplies
  }

  /** Waits for a message. */
  wait(how: WaitFor): Promise<Message | null> {
    const { timeout, signal, takesMalformed, replyFrom, seq = 0, match } = how
    if (match !== undefined) {
      this.#matching ??= new MatchRequests(() => this.#host.onAbandoned())
      return this.#matching.wait({ match, timeout, signal, seq, replyFrom: replyFrom ?? null })
    }
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
          {
            late: replyFrom === undefined ? 'No message arrived' : 'The request received no reply',
          },
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
    const matching = this.#matching
    if (matching !== undefined && matching.waiting > 0 && isMessage(incoming)) {
      if (matching.offer(incoming)) return true
    }
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

  /** Gives buffered messages to the calls that accept them. */
  offerAll(buffered: Queue<Incoming>): void {
    while (buffered.length > 0 && this.waiting > 0) {
      const first = buffered.peek() as Incoming
      if (!this.offer(first)) break
      // The predicate of a request may have called `receive()`.
      if (buffered.peek() === first) buffered.shift()
      else buffered.remove(first)
    }
    if (this.waiting === 0) return
    // No call accepts the first one: only requests wait, for messages of other senders, or for
    // those that their predicates accept.
    for (let left = buffered.length; left > 0; left--) {
      const incoming = buffered.shift()
      if (incoming === undefined) return
      if (!this.offer(incoming)) buffered.push(incoming)
    }
  }

  /** Whether a call accepts the next message of this sender. */
  isDue(from: From): boolean {
    return this.#firstFor(from) !== undefined
  }

  /** Rejects the request whose queued message has this number, which was not delivered. */
  fail(seq: number, error: unknown): void {
    if (this.#matching?.fail(seq, error)) return
    for (let at = 0; at < this.#calls.length; at++) {
      const waiter = this.#calls.at(at) as Waiter
      if (waiter.state === 'done' || waiter.seq !== seq) continue
      this.#fail(waiter, error)
      return
    }
  }

  /**
   * Rejects the requests whose messages precede the queued one with the number `oldest` (0: all).
   * Their replies, and those to abandoned requests, will not arrive.
   */
  failInFlight(oldest: number, error: unknown): void {
    this.#matching?.failInFlight(oldest, error)
    const lost = this.#calls.filter(
      ({ state, replyFrom, seq }) =>
        state !== 'done' && replyFrom !== undefined && isInFlight(seq, oldest),
    )
    for (const waiter of lost) this.#fail(waiter, error)
  }

  /** Rejects every waiting call. Returns whether there was one. */
  failAll(error: unknown): boolean {
    const waiting = this.#takeAll()
    for (const waiter of waiting) waiter.reject(error)
    const isMatchFailed = this.#matching?.failAll(error) ?? false
    return waiting.length > 0 || isMatchFailed
  }

  /** Ends every waiting call: a `receive()` resolves to null, a `request()` rejects. */
  endAll(by: ClosedBy): void {
    this.#matching?.endAll(by)
    for (const waiter of this.#takeAll()) {
      if (waiter.replyFrom === undefined) waiter.resolve(null)
      else waiter.reject(closedError('request', by))
    }
  }

  #firstFor(from: From): Waiter | undefined {
    const calls = this.#calls
    while (calls.peek()?.state === 'done') calls.shift()
    for (let at = 0; at < calls.length; at++) {
      const waiter = calls.at(at) as Waiter
      if (waiter.state !== 'done' && isFrom(waiter.replyFrom ?? null, from)) return waiter
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

  /** Gives up the place of a call, and rejects it unless it was abandoned before. */
  #fail(waiter: Waiter, error: unknown): void {
    const isWaiting = waiter.state === 'waiting'
    this.#remove(waiter)
    if (isWaiting) waiter.reject(error)
  }

  #takeAll(): Waiter[] {
    clearTimeout(this.#lossTimer)
    this.#lossTimer = undefined
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
      this.#watchLoss()
    }
    waiter.reject(error)
    this.#host.onAbandoned()
  }

  /** Starts the timer for the place that expires next, unless places expire silently. */
  #watchLoss(): void {
    if (!this.awaitsLateReply || this.#lossTimer !== undefined) return
    if (this.#nextExpiry === Number.POSITIVE_INFINITY) return
    // The reply may have arrived in the meantime, if the thread was busy: input is read first.
    const onTimer = () => setImmediate(() => this.#checkLoss())
    this.#lossTimer = setTimeout(onTimer, Math.max(1, this.#nextExpiry - now())).unref()
  }

  #checkLoss(): void {
    this.#lossTimer = undefined
    const time = now()
    const abandoned = this.#abandonedCalls()
    if (abandoned.some(({ expires }) => expires <= time)) this.#host.onReplyLost?.()
    for (const waiter of abandoned) {
      if (waiter.expires <= time) waiter.expires = time + this.#keepPlace
    }
    this.#nextExpiry = abandoned.reduce(
      (first, { expires }) => Math.min(first, expires),
      Number.POSITIVE_INFINITY,
    )
    this.#watchLoss()
  }

  #abandonedCalls(): Waiter[] {
    return this.#calls.filter(({ state }) => state === 'abandoned')
  }

  /** Removes the places of abandoned requests that have expired, unless their replies are lost. */
  #expirePlaces(): void {
    if (this.#abandoned === 0 || this.#host.onReplyLost !== undefined) return
    const time = now()
    if (time < this.#nextExpiry) return
    this.#nextExpiry = Number.POSITIVE_INFINITY
    for (const waiter of this.#abandonedCalls()) {
      if (waiter.expires <= time) this.#remove(waiter)
      else this.#nextExpiry = Math.min(this.#nextExpiry, waiter.expires)
    }
  }
}

/** The most places of finished calls in the queue before it is compacted. */
const MAX_DONE = 32

function nothing(): void {}
