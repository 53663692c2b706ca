import type { DataStorage } from './data-storage.js'
import { keyOf } from './services.js'

/** A request that awaits its response. */
export interface PendingRequest {
  /** Resolves the request to its response. */
  resolve(response: DataStorage): void
  /** Rejects the request, because there will be no response, or because it is malformed. */
  reject(error: Error): void
}

/** Consecutive requests that were sent by `send`. Their responses are ordinary messages. */
export interface SentRequests {
  count: number
}

/** The request that a response belongs to: pending, abandoned, sent by `send`, or none. */
export type Recipient = PendingRequest | 'abandoned' | 'sent' | 'none'

/**
 * Requests in flight. Responses are matched by their order, since they do not contain an id of
 * their request.
 *
 * There is one queue per response id and data id, because a peer answers the requests of one
 * service and data id in order. An abandoned request keeps its place until the connection ends, so
 * that its late response does not go to the next request.
 */
export class PendingRequests {
  readonly #queues = new Map<string, (PendingRequest | SentRequests)[]>()
  readonly #abandoned = new WeakSet<PendingRequest>()
  #length = 0
  #awaited = 0

  /** The number of requests in flight, including abandoned ones. */
  get length(): number {
    return this.#length
  }

  /** The number of requests in flight that were not abandoned. */
  get awaited(): number {
    return this.#awaited
  }

  /** Adds a request. */
  add(responseSid: number, dataId: number, request: PendingRequest): void {
    this.#queue(responseSid, dataId).push(request)
    this.#length++
    this.#awaited++
  }

  /** Adds a request that was sent by `send`. Returns its entry, which others may share. */
  addSent(responseSid: number, dataId: number): SentRequests {
    const queue = this.#queue(responseSid, dataId)
    const last = queue.at(-1)
    const sent = last !== undefined && 'count' in last ? last : { count: 0 }
    if (sent !== last) queue.push(sent)
    sent.count++
    return sent
  }

  /** Removes a request that could not be sent. */
  remove(responseSid: number, dataId: number, entry: PendingRequest | SentRequests): void {
    const key = keyOf(responseSid, dataId)
    const queue = this.#queues.get(key) ?? []
    const index = queue.indexOf(entry)
    if (index < 0 || ('count' in entry && --entry.count > 0)) return
    queue.splice(index, 1)
    if (queue.length === 0) this.#queues.delete(key)
    if (!('count' in entry)) this.#onRemoved(entry)
  }

  /** Marks a request as abandoned. It keeps its place. */
  abandon(request: PendingRequest): void {
    if (this.#abandoned.has(request)) return
    this.#abandoned.add(request)
    this.#awaited--
  }

  /** Removes the request that a received response belongs to, and returns it. */
  takeNext(responseSid: number, dataId: number): Recipient {
    const key = keyOf(responseSid, dataId)
    const queue = this.#queues.get(key)
    const first = queue?.[0]
    if (queue === undefined || first === undefined) return 'none'
    if ('count' in first) {
      if (--first.count === 0) this.#shift(key, queue)
      return 'sent'
    }
    this.#shift(key, queue)
    const isAbandoned = this.#abandoned.has(first)
    this.#onRemoved(first)
    return isAbandoned ? 'abandoned' : first
  }

  /** Rejects all requests, after the connection has ended. */
  rejectAll(makeError: () => Error): void {
    const entries = [...this.#queues.values()].flat()
    this.#queues.clear()
    this.#length = 0
    this.#awaited = 0
    for (const entry of entries) {
      if (!('count' in entry) && !this.#abandoned.has(entry)) entry.reject(makeError())
    }
  }

  #onRemoved(request: PendingRequest): void {
    this.#length--
    if (!this.#abandoned.has(request)) this.#awaited--
  }

  #shift(key: string, queue: unknown[]): void {
    queue.shift()
    if (queue.length === 0) this.#queues.delete(key)
  }

  #queue(responseSid: number, dataId: number): (PendingRequest | SentRequests)[] {
    const key = keyOf(responseSid, dataId)
    const queue = this.#queues.get(key) ?? []
    this.#queues.set(key, queue)
    return queue
  }
}
