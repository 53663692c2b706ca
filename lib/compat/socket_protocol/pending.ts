import type { DataStorage } from './data-storage.js'
import { keyOf } from './services.js'

/** Whose turn it is when a response comes. */
export interface Place {
  /** Takes the response. */
  resolve(response: DataStorage): void
  /** There will be no response, or one that is wrong. */
  reject(error: Error): void
}

/** A run of requests of plain `send`s, whose responses go the ordinary way. */
export interface Sent {
  count: number
}

/** Whose a response is: a request's, one that was given up, one of a plain `send`, or nobody's. */
export type Turn = Place | 'late' | 'sent' | 'nobody'

/**
 * Requests under way, matched by order, since nothing on the wire says what a response belongs to.
 *
 * Each (response, datum) is a queue of its own: a peer answers the requests of one service and datum
 * in their order. One that was given up keeps its place until the connection ends, so that its late
 * response is not the next one's.
 */
export class Pending {
  readonly #queues = new Map<string, (Place | Sent)[]>()
  readonly #givenUp = new WeakSet<Place>()
  #places = 0
  #waiting = 0

  /** Places that are taken: requests, also those that were given up. */
  get places(): number {
    return this.#places
  }

  /** Requests for which somebody waits. */
  get waiting(): number {
    return this.#waiting
  }

  /** A request goes out. */
  add(responseSid: number, dataId: number, place: Place): void {
    this.#queue(responseSid, dataId).push(place)
    this.#places++
    this.#waiting++
  }

  /** A request of a plain `send` goes out; the run that it belongs to. */
  addSent(responseSid: number, dataId: number): Sent {
    const queue = this.#queue(responseSid, dataId)
    const last = queue.at(-1)
    const run = last !== undefined && 'count' in last ? last : { count: 0 }
    if (run !== last) queue.push(run)
    run.count++
    return run
  }

  /** A request that was to go out has not. */
  withdraw(responseSid: number, dataId: number, one: Place | Sent): void {
    const key = keyOf(responseSid, dataId)
    const queue = this.#queues.get(key) ?? []
    const at = queue.indexOf(one)
    if (at < 0 || ('count' in one && --one.count > 0)) return
    queue.splice(at, 1)
    if (queue.length === 0) this.#queues.delete(key)
    if (!('count' in one)) this.#left(one)
  }

  /** Nobody waits for a request any more; it keeps its place. */
  giveUp(place: Place): void {
    if (this.#givenUp.has(place)) return
    this.#givenUp.add(place)
    this.#waiting--
  }

  /** A response has come: whose is it? */
  next(responseSid: number, dataId: number): Turn {
    const key = keyOf(responseSid, dataId)
    const queue = this.#queues.get(key)
    const first = queue?.[0]
    if (queue === undefined || first === undefined) return 'nobody'
    if ('count' in first) {
      if (--first.count === 0) this.#shift(key, queue)
      return 'sent'
    }
    this.#shift(key, queue)
    const isLate = this.#givenUp.has(first)
    this.#left(first)
    return isLate ? 'late' : first
  }

  /** The connection is gone: no response comes any more. */
  failAll(error: (place: Place) => Error): void {
    const places = [...this.#queues.values()].flat().filter(one => !('count' in one)) as Place[]
    this.#queues.clear()
    this.#places = 0
    this.#waiting = 0
    for (const place of places) if (!this.#givenUp.has(place)) place.reject(error(place))
  }

  #left(place: Place): void {
    this.#places--
    if (!this.#givenUp.has(place)) this.#waiting--
  }

  #shift(key: string, queue: unknown[]): void {
    queue.shift()
    if (queue.length === 0) this.#queues.delete(key)
  }

  #queue(responseSid: number, dataId: number): (Place | Sent)[] {
    const key = keyOf(responseSid, dataId)
    const queue = this.#queues.get(key) ?? []
    this.#queues.set(key, queue)
    return queue
  }
}
