import type { Address } from '../../options/address.js'
import { Queue } from '../../util/queue.js'
import type { Call } from './call.js'
import type { RequestContext } from './context.js'

/**
 * The requests of one sender whose replies must leave in order: on a connected channel all of them,
 * otherwise those with the same `from`.
 */
export class Lane {
  /** Where replies go: null: to the peer; undefined: nowhere, they are dropped. */
  to: Address | null | undefined
  /** Identifies the lane; undefined on a connected channel. */
  readonly key: string | undefined
  /** The context of all requests of a connection; undefined if each has its own. */
  readonly context: RequestContext | undefined
  /** The calls in the order of their requests, from the first one whose reply is not sent. */
  readonly calls = new Queue<Call>()
  /** The requests whose handlers are not called yet. They follow `calls`. */
  readonly waiting = new Queue<Call>()
  /** How many handlers run. */
  running = 0
  /** Whether the queue for the destination is too long, until `'drain'`. */
  isBlocked = false

  constructor(
    key: string | undefined,
    to: Address | null | undefined,
    context: RequestContext | undefined,
  ) {
    this.key = key
    this.to = to
    this.context = context
  }

  /** Whether nothing is left to do for the sender. */
  get isIdle(): boolean {
    return !this.isBlocked && this.running === 0 && this.calls.length === 0
  }
}
