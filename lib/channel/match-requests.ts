import type { Address } from '../options/address.js'
import { type ClosedBy, closedError } from '../util/errors.js'
import { startLimits, type WaitLimits } from '../util/wait.js'
import type { Message } from '../wire/message.js'
import { isFrom, isInFlight } from './senders.js'

/** Decides whether a message is the reply to a request. */
export type Match = (message: Message) => unknown

/** A request whose reply a predicate recognises. */
interface MatchRequest {
  readonly match: Match
  /** The sender of the reply; null: the peer. */
  readonly replyFrom: Address | null
  /** The number of the queued message; 0 if it was not queued. */
  readonly seq: number
  resolve(message: Message): void
  reject(error: unknown): void
  /** Removes the timer and the abort listener. */
  stopLimits(): void
}

/** What a request with a predicate waits for, and for how long. */
export interface MatchFor extends WaitLimits {
  match: Match
  replyFrom: Address | null
  seq: number
}

/**
 * The waiting requests with a predicate of a channel, oldest first.
 *
 * They hold no place in the order of the other calls: each message is offered to them first.
 */
export class MatchRequests {
  readonly #onAbandoned: () => void
  readonly #requests = new Set<MatchRequest>()

  /** `onAbandoned` is called after a request has timed out or was aborted. */
  constructor(onAbandoned: () => void) {
    this.#onAbandoned = onAbandoned
  }

  /** The number of requests that wait. */
  get waiting(): number {
    return this.#requests.size
  }

  /** Waits for a message that the predicate accepts. */
  wait({ match, replyFrom, seq, timeout, signal }: MatchFor): Promise<Message> {
    return new Promise((resolve, reject) => {
      const request: MatchRequest = {
        match,
        replyFrom,
        seq,
        resolve,
        reject,
        stopLimits: nothing,
      }
      if (timeout > 0 || signal !== undefined) {
        request.stopLimits = startLimits(
          { timeout, signal },
          { late: 'The request received no message that match accepts' },
          error => {
            this.#reject(request, error)
            this.#onAbandoned()
          },
        )
      }
      this.#requests.add(request)
    })
  }

  /**
   * Gives a message to the oldest request whose predicate returns true. Returns false if there is
   * none. A predicate that throws rejects its own request.
   */
  offer(message: Message): boolean {
    let left = this.#requests.size
    for (const request of this.#requests) {
      // A predicate may settle requests, and add others, which are newer than the message.
      if (left-- === 0) return false
      if (!isFrom(request.replyFrom, message.from)) continue
      try {
        if (!isMatch(request.match(message)) || !this.#requests.has(request)) continue
      } catch (error) {
        this.#reject(request, error)
        continue
      }
      this.#remove(request)
      request.resolve(message)
      return true
    }
    return false
  }

  /** Rejects the request whose queued message has this number. Returns whether there is one. */
  fail(seq: number, error: unknown): boolean {
    for (const request of this.#requests) {
      if (request.seq !== seq) continue
      this.#reject(request, error)
      return true
    }
    return false
  }

  /** Rejects the requests that were sent before the queued message with the number `oldest`. */
  failInFlight(oldest: number, error: unknown): void {
    for (const request of this.#requests) {
      if (isInFlight(request.seq, oldest)) this.#reject(request, error)
    }
  }

  /** Rejects all requests. Returns whether there was one. */
  failAll(error: unknown): boolean {
    const hasWaited = this.#requests.size > 0
    for (const request of this.#requests) this.#reject(request, error)
    return hasWaited
  }

  /** Rejects all requests, because nothing more arrives. */
  endAll(by: ClosedBy): void {
    for (const request of this.#requests) this.#reject(request, closedError('request', by))
  }

  #reject(request: MatchRequest, error: unknown): void {
    this.#remove(request)
    request.reject(error)
  }

  #remove(request: MatchRequest): void {
    this.#requests.delete(request)
    request.stopLimits()
  }
}

/** A promise is always truthy, so an async predicate would accept every message. */
function isMatch(result: unknown): boolean {
  if (typeof (result as Partial<PromiseLike<unknown>> | null | undefined)?.then === 'function') {
    throw new TypeError('match must return a boolean, not a promise')
  }
  return Boolean(result)
}

function nothing(): void {}
