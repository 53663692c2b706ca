import { type Address, isSameAddress } from '../options/address.js'
import { abortError, closedError, timeoutError } from '../util/errors.js'
import { type From, type Item, isMessage, type Message } from '../wire/message.js'

/** Somebody who waits for a message. */
interface Waiter {
  resolve(message: Message | null): void
  reject(error: unknown): void
  /** A request's destination: its reply comes from there. null: from the one peer. */
  replyFrom: Address | null | undefined
  /** The number under which a request was queued, 0 where it was not. */
  seq: number
  /** Whether a malformed message is an answer too. */
  takesMalformed: boolean
  /**
   * Nobody waits any more: a request keeps its place, so that its late reply is not the next's.
   * Until when (ms of performance.now), since a reply may have been lost; undefined: somebody waits.
   */
  keptUntil: number | undefined
  /** Takes timer and listener down. */
  cleanUp(): void
}

/** How a wait is to be. */
export interface WaitFor {
  timeout: number
  signal: AbortSignal | undefined
  takesMalformed?: boolean
  /** As in the waiter; absent for `receive()`. */
  replyFrom?: Address | null
  seq?: number
}

/**
 * The waiting `receive()` and `request()` calls of a channel, in the order of the calls.
 *
 * A message goes to the first that accepts it: a `receive()` accepts all, a `request()` what comes
 * from where it went.
 */
export class Consumers {
  readonly #waiters: Waiter[] = []
  readonly #changed: () => void
  readonly #keep: number
  #waiting = 0
  /** Places of requests that were given up, and when the first of them expires. */
  #kept = 0
  #expiry = Number.POSITIVE_INFINITY
  #late = 0

  /**
   * `changed` is called when somebody has stopped to wait; `keep` is for how long the place of a
   * request that was given up is kept (ms, 0: for ever).
   */
  constructor(changed: () => void, keep: number) {
    this.#changed = changed
    this.#keep = keep === 0 ? Number.POSITIVE_INFINITY : keep
  }

  /** Whether nobody waits, and no place of a request is kept. */
  get isIdle(): boolean {
    return this.#waiters.length === 0
  }

  /** How many wait. */
  get waiting(): number {
    return this.#waiting
  }

  /** Replies that came after their request was abandoned, and were dropped. */
  get lateReplies(): number {
    return this.#late
  }

  /** Waits for a message. */
  wait(how: WaitFor): Promise<Message | null> {
    const { signal, timeout } = how
    return new Promise((resolve, reject) => {
      const waiter: Waiter = {
        resolve,
        reject,
        replyFrom: how.replyFrom,
        seq: how.seq ?? 0,
        takesMalformed: how.takesMalformed ?? how.replyFrom !== undefined,
        keptUntil: undefined,
        cleanUp: nothing,
      }
      if (timeout > 0 || signal !== undefined) this.#bound(waiter, timeout, signal)
      this.#dropExpired()
      this.#waiters.push(waiter)
      this.#waiting++
    })
  }

  /** Gives an item to the first who accepts it; whether somebody did. */
  offer(item: Item): boolean {
    this.#dropExpired()
    const waiters = this.#waiters
    for (let at = 0; at < waiters.length; at++) {
      const waiter = waiters[at] as Waiter
      if (!accepts(waiter, item.from)) continue
      const message = isMessage(item)
      if (!message && !waiter.takesMalformed) return false
      if (at === 0) waiters.shift()
      else waiters.splice(at, 1)
      if (waiter.keptUntil !== undefined) {
        this.#late++
        this.#kept--
        if (message) item.fds.close()
        return true
      }
      this.#settled(waiter)
      if (message) waiter.resolve(item)
      else waiter.reject(item.error)
      return true
    }
    return false
  }

  /** Whether somebody waits for a message from there, be it one that can be delivered or not. */
  isDue(from: From): boolean {
    return this.#waiters.some(waiter => accepts(waiter, from))
  }

  /** Rejects the request that was queued under this number, since it was given up. */
  fail(seq: number, error: unknown): void {
    const at = this.#waiters.findIndex(waiter => waiter.seq === seq)
    const waiter = this.#waiters[at]
    if (waiter === undefined) return
    this.#waiters.splice(at, 1)
    if (waiter.keptUntil !== undefined) {
      this.#kept--
      return
    }
    this.#settled(waiter)
    waiter.reject(error)
  }

  /** Rejects everybody; whether there was somebody. */
  failAll(error: unknown): boolean {
    return this.#clear(waiter => waiter.reject(error))
  }

  /** Tells everybody that nothing comes any more: a `receive()` gets null. */
  endAll(): void {
    this.#clear(waiter => {
      if (waiter.replyFrom === undefined) waiter.resolve(null)
      else waiter.reject(closedError('request'))
    })
  }

  #clear(settle: (waiter: Waiter) => void): boolean {
    const waiting = this.#waiters.splice(0).filter(waiter => waiter.keptUntil === undefined)
    this.#kept = 0
    for (const waiter of waiting) {
      this.#settled(waiter)
      settle(waiter)
    }
    return waiting.length > 0
  }

  /** Forgets the places of requests whose replies will not come any more. */
  #dropExpired(): void {
    if (this.#kept === 0) return
    const now = performance.now()
    if (now < this.#expiry) return
    this.#expiry = Number.POSITIVE_INFINITY
    for (let at = this.#waiters.length - 1; at >= 0; at--) {
      const { keptUntil } = this.#waiters[at] as Waiter
      if (keptUntil === undefined) continue
      if (keptUntil > now) {
        this.#expiry = Math.min(this.#expiry, keptUntil)
        continue
      }
      this.#waiters.splice(at, 1)
      this.#kept--
    }
  }

  #settled(waiter: Waiter): void {
    waiter.cleanUp()
    this.#waiting--
  }

  #bound(waiter: Waiter, timeout: number, signal: AbortSignal | undefined): void {
    const giveUp = (error: unknown) => {
      this.#settled(waiter)
      if (waiter.replyFrom === undefined) this.#waiters.splice(this.#waiters.indexOf(waiter), 1)
      else {
        waiter.keptUntil = performance.now() + this.#keep
        this.#expiry = Math.min(this.#expiry, waiter.keptUntil)
        this.#kept++
      }
      waiter.reject(error)
      this.#changed()
    }
    const onAbort = () => giveUp(abortError(signal as AbortSignal))
    // The channel keeps the process alive, or not if it is unref'd: a time limit alone shall not.
    const timer =
      timeout > 0
        ? setTimeout(() => giveUp(timeoutError('No message came', timeout)), timeout).unref()
        : undefined
    signal?.addEventListener('abort', onAbort, { once: true })
    waiter.cleanUp = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
    }
  }
}

function accepts(waiter: Waiter, from: From): boolean {
  const { replyFrom } = waiter
  if (replyFrom === undefined || replyFrom === null) return true
  return from !== null && from !== undefined && isSameAddress(replyFrom, from)
}

function nothing(): void {}
