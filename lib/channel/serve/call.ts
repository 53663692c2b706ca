import type { FdSource } from '../../fds/borrow.js'
import { duplicateFds } from '../../fds/descriptors.js'
import { EMPTY_FD_SET, FdSet } from '../../fds/fdset.js'
import { closeSet, releaseFds } from '../../fds/release.js'
import type { RequestContext } from './context.js'
import type { Lane } from './lane.js'
import { Reply } from './reply.js'

/**
 * - `waiting`: the handler is not called yet, because too many handlers of the sender run.
 * - `running`: the handler, or `onError`, has not settled.
 * - `settled`: the reply waits for earlier replies, or for room in the queue.
 * - `done`: the reply was sent or dropped.
 */
export type CallState = 'waiting' | 'running' | 'settled' | 'done'

/** A request that is not answered yet, and its reply. */
export class Call {
  state: CallState = 'waiting'
  readonly lane: Lane
  readonly value: unknown
  readonly context: RequestContext
  /** The value of the reply; undefined if there is none. */
  reply: unknown
  /** The error that `onError` has handled; undefined if it was not called. */
  failure: { readonly error: unknown } | undefined
  #fds: FdSet
  #hasReply = false
  #replyFds: FdSet | readonly FdSource[] = NO_FDS

  constructor(lane: Lane, value: unknown, fds: FdSet, context: RequestContext) {
    this.lane = lane
    this.value = value
    this.context = context
    this.#fds = fds
  }

  /** The descriptors of the request. */
  get fds(): FdSet {
    return this.#fds
  }

  /** Whether there is a reply to send. */
  get hasReply(): boolean {
    return this.#hasReply
  }

  /** The descriptors of the reply; undefined if it has none. */
  get replyFds(): FdSet | readonly FdSource[] | undefined {
    return this.#replyFds === NO_FDS ? undefined : this.#replyFds
  }

  /** Notes what the handler, or `onError`, has returned. */
  settle(result: unknown): void {
    this.state = 'settled'
    this.#hasReply = result !== undefined
    const isReply = result instanceof Reply
    this.reply = isReply ? result.value : result
    this.#replyFds = isReply ? result.fds : NO_FDS
  }

  /**
   * Keeps the reply until its turn: replaces its descriptors by duplicates, and closes those of the
   * request, which may be the same.
   *
   * # Errors
   * Those of `duplicateFds`. All descriptors are closed then too.
   */
  keep(): void {
    const fds = this.#replyFds
    this.#replyFds = NO_FDS
    try {
      if (fds instanceof FdSet || fds.length > 0) this.#replyFds = duplicateFds(fds)
    } finally {
      void releaseFds(fds)
      this.closeRequest()
    }
  }

  /** Closes the descriptors of the request that the handler has not taken. */
  closeRequest(): void {
    const fds = this.#fds
    if (fds === EMPTY_FD_SET) return
    this.#fds = EMPTY_FD_SET
    closeSet(fds)
  }

  /** Drops the reply, or what is left of it once it was sent, and closes all descriptors. */
  clear(): void {
    const fds = this.#replyFds
    this.#replyFds = NO_FDS
    this.#hasReply = false
    this.reply = undefined
    if (fds !== NO_FDS) void releaseFds(fds)
    this.closeRequest()
  }

  /** Ends the call. */
  end(): void {
    this.clear()
    this.state = 'done'
  }
}

const NO_FDS: readonly FdSource[] = []
