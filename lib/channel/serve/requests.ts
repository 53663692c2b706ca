import { EMPTY_FD_SET, type FdSet } from '../../fds/fdset.js'
import { closeSet } from '../../fds/release.js'
import type { Address } from '../../options/address.js'
import { describeValue } from '../../util/checks.js'
import { isClosed } from '../../util/errors.js'
import type { Take } from '../consumer.js'
import { Call } from './call.js'
import { RequestContext, type Shared } from './context.js'
import type { ServeCounts } from './counts.js'
import { Lane } from './lane.js'
import type { Lanes } from './lanes.js'
import type { CheckedServe } from './options.js'
import { Reply } from './reply.js'
import type { ServingHost } from './serving.js'

/** What the requests of a channel belong to. */
interface RequestsOwner {
  /** The connection whose requests are taken now. */
  readonly connection: Shared
  /** Called when no request is unanswered. */
  onAnswered(): void
}

/** How many replies may wait for their turn in a lane, for each handler that it may run. */
const UNSENT_PER_HANDLER = 4

/** How many requests of all senders may wait for their handlers, for each handler that may run. */
const WAITING_PER_HANDLER = 4

/**
 * The requests of a channel from the call of their handler until the reply is sent.
 *
 * ```text
 *  take ──► handler ──────────► settled ──► first of its lane? ──► send ──► done
 *              │ throws            ▲  no: waits in the lane         │ throws
 *              └───► onError ──────┘ ◄──────────────────────────────┘
 *                       │ no reply, or it cannot be sent either
 *                       └──► the channel is destroyed; on a datagram socket: counted
 * ```
 */
export class Requests {
  readonly #host: ServingHost
  readonly #serve: CheckedServe
  readonly #counts: ServeCounts
  readonly #owner: RequestsOwner
  /** The lanes of an unconnected datagram socket. */
  readonly #lanes: Lanes | undefined
  /** The only lane of a connected channel. */
  #lane: Lane | undefined
  /** The context of requests that are not delivered yet, of a connection that was replaced. */
  #lost: { readonly context: RequestContext; readonly received: number } | undefined
  /** How many handlers a lane may run at once. */
  readonly #laneLimit: number
  #isHeld = false
  #isClosed = false
  #running = 0
  #waiting = 0
  #unanswered = 0

  constructor(
    host: ServingHost,
    serve: CheckedServe,
    lanes: Lanes | undefined,
    counts: ServeCounts,
    owner: RequestsOwner,
  ) {
    this.#host = host
    this.#serve = serve
    this.#lanes = lanes
    this.#counts = counts
    this.#owner = owner
    const { concurrency } = serve
    if (lanes === undefined) this.#lane = laneOf(owner.connection)
    this.#laneLimit = lanes === undefined ? concurrency : Math.max(1, Math.floor(concurrency / 4))
  }

  /** How many handlers run. */
  get running(): number {
    return this.#running
  }

  /** How many requests are not answered. */
  get unanswered(): number {
    return this.#unanswered
  }

  /** Handles a request, at once or after others of its sender. It never throws. */
  readonly take: Take = (value, fds, from, credentials) => {
    const lane = this.#lostLane() ?? this.#lane ?? (this.#lanes as Lanes).of(from)
    const context = lane.context ?? new RequestContext(this.#owner.connection, from, credentials)
    if (lane.isBlocked && this.#lanes !== undefined) this.#dropRequest(fds)
    else if (this.#isFull(lane)) this.#wait(lane, value, fds, context)
    else this.#run(lane, value, fds, context, undefined)
  }

  /** Sends what waits for the queue of a destination (undefined: the peer), which is empty now. */
  onDrain(to: Address | undefined): void {
    const lane = this.#lane ?? (to === undefined ? undefined : this.#lanes?.busy(to))
    if (lane?.isBlocked !== true) return
    lane.isBlocked = false
    this.#sendReplies(lane)
    this.#update(lane)
  }

  /** Drops all replies that are not sent. Those of running handlers are dropped later. */
  close(): void {
    this.#isClosed = true
    this.#unanswered = 0
    for (const lane of this.#lane === undefined
      ? (this.#lanes as Lanes).busyLanes()
      : [this.#lane]) {
      for (const queue of [lane.calls, lane.waiting]) {
        for (let call = queue.shift(); call !== undefined; call = queue.shift()) {
          if (call.state !== 'running') call.end()
        }
      }
    }
  }

  /** Drops the replies to the requests that were received so far, over a connection that is lost. */
  loseConnection(): void {
    const lane = this.#lane
    if (lane?.context === undefined) return
    const { received, receiver } = this.#host
    if (receiver.unread > 0) this.#lost = { context: lane.context, received }
    this.#lane = laneOf(this.#owner.connection)
    // What its handlers return from now on is dropped too.
    lane.to = undefined
    for (let call = lane.calls.shift(); call !== undefined; call = lane.calls.shift()) {
      if (call.state === 'settled') this.#sendReply(call)
    }
    this.#update(this.#lane)
  }

  /** Returns a lane for the request that is delivered, if it arrived over a lost connection. */
  #lostLane(): Lane | undefined {
    if (this.#lost === undefined) return undefined
    const { context, received } = this.#lost
    const { received: now, receiver } = this.#host
    if (now - receiver.unread <= received) return new Lane(undefined, undefined, context)
    this.#lost = undefined
    return undefined
  }

  /** Whether the next request of a lane must wait. */
  #isFull(lane: Lane): boolean {
    return (
      lane.running >= this.#laneLimit || lane.calls.length >= this.#laneLimit * UNSENT_PER_HANDLER
    )
  }

  /** Calls the handler. `call` is the request if it has waited. */
  #run(
    lane: Lane,
    value: unknown,
    fds: FdSet,
    context: RequestContext,
    call: Call | undefined,
  ): void {
    let result: unknown
    try {
      result = this.#serve.handler(value, fds, context)
      if (isThenable(result)) {
        const running = call ?? this.#enter(new Call(lane, value, fds, context))
        this.#follow(running, Promise.resolve(result))
        return
      }
    } catch (error) {
      this.#onError(call ?? this.#enter(new Call(lane, value, fds, context)), error)
      this.#update(lane)
      return
    }
    if (call === undefined && fds === EMPTY_FD_SET && lane.calls.length === 0) {
      if (this.#answerAtOnce(lane, value, result, context)) return
    }
    this.#settle(call ?? this.#enter(new Call(lane, value, fds, context)), result)
    this.#update(lane)
  }

  /** Fast path: answers a request without descriptors. Returns false if the reply must wait. */
  #answerAtOnce(lane: Lane, value: unknown, result: unknown, context: RequestContext): boolean {
    if (result === undefined) return true
    if (lane.isBlocked || lane.to === undefined || result instanceof Reply) return false
    if (this.#host.sender.isDropping) return true
    try {
      const queued = this.#host.sender.send(
        result,
        lane.to === null ? undefined : { to: lane.to, fds: undefined },
      )
      if (queued === 0) return true
      lane.isBlocked = true
    } catch (error) {
      if (isClosed(error) || lane.to === undefined) return true
      this.#onError(this.#enter(new Call(lane, value, EMPTY_FD_SET, context)), error)
    }
    this.#update(lane)
    return true
  }

  /** Adds a request to those that are not answered. */
  #enter(call: Call): Call {
    this.#unanswered++
    call.lane.calls.push(call)
    return call
  }

  /** Waits for the promise of a handler, or of `onError`. */
  #follow(call: Call, promise: Promise<unknown>): void {
    const { lane } = call
    call.state = 'running'
    lane.running++
    if (this.#running++ === 0) this.#host.setBusy(true)
    const settle = (act: () => void) => {
      lane.running--
      if (--this.#running === 0) this.#host.setBusy(false)
      act()
      this.#runWaiting(lane)
      this.#update(lane)
    }
    promise
      .then(
        result => settle(() => this.#settle(call, result)),
        error => settle(() => this.#onError(call, error)),
      )
      // A built-in was replaced, for example: the channel fails, and not the process.
      .catch(error => this.#host.fail(asError(error)))
    this.#update(lane)
  }

  /** Notes the result of a handler, or of `onError`, and sends the reply if it is its turn. */
  #settle(call: Call, result: unknown): void {
    call.settle(result)
    if (this.#isClosed) {
      call.end()
    } else if (call.failure !== undefined && !call.hasReply) {
      this.#giveUp(call, call.failure.error)
    } else if (call.lane.to === undefined) {
      // It is dropped, whatever precedes it.
      this.#sendReply(call)
      this.#sendReplies(call.lane)
    } else if (call.lane.calls.peek() === call && this.#canSend(call.lane)) {
      this.#sendReplies(call.lane)
    } else {
      try {
        call.keep()
      } catch (error) {
        this.#onError(call, error)
      }
    }
  }

  /** On a connected channel replies wait for `'drain'`; those of datagrams are queued. */
  #canSend(lane: Lane): boolean {
    return this.#lanes !== undefined || !lane.isBlocked
  }

  /** Sends the replies of a lane whose turn has come. */
  #sendReplies(lane: Lane): void {
    const { calls } = lane
    for (let call = calls.peek(); call !== undefined; call = calls.peek()) {
      if (call.state === 'settled' && this.#canSend(lane)) this.#sendReply(call)
      if (call.state !== 'done') return
      if (calls.peek() === call) calls.shift()
    }
  }

  #sendReply(call: Call): void {
    const { lane } = call
    if (!call.hasReply || this.#host.sender.isDropping) {
      this.#finish(call)
    } else if (lane.to === undefined) {
      this.#counts.droppedReplies++
      this.#finish(call)
    } else {
      try {
        if (this.#send(call, lane.to) !== 0) lane.isBlocked = true
      } catch (error) {
        // If the connection was lost by this, the reply is dropped already.
        if (!isClosed(error) && lane.to !== undefined) {
          this.#onError(call, error)
          return
        }
      }
      this.#finish(call)
    }
  }

  #send({ reply, replyFds: fds }: Call, to: Address | null): number {
    const { sender } = this.#host
    if (to !== null) return sender.send(reply, { to, fds })
    return sender.send(reply, fds === undefined ? undefined : { to: undefined, fds })
  }

  /** Handles the error of a handler, or of a reply that cannot be sent. */
  #onError(call: Call, error: unknown): void {
    call.clear()
    if (call.failure !== undefined) {
      this.#giveUp(call, call.failure.error)
      return
    }
    call.failure = { error }
    const { onError } = this.#serve
    let result: unknown
    try {
      result = onError?.(error, call.value, call.context)
      if (isThenable(result)) {
        this.#follow(call, Promise.resolve(result))
        return
      }
    } catch {
      // The error that `onError` was called with is the one that is reported.
      result = undefined
    }
    this.#settle(call, result)
  }

  /** Ends a request that has failed and gets no reply. */
  #giveUp(call: Call, error: unknown): void {
    if (this.#lanes !== undefined || call.lane.to === undefined) this.#counts.failedRequests++
    else if (!this.#isClosed) this.#host.fail(asError(error))
    this.#finish(call)
    this.#sendReplies(call.lane)
  }

  #finish(call: Call): void {
    if (call.state === 'done') return
    call.end()
    if (this.#isClosed) return
    this.#unanswered--
    if (this.#unanswered === 0) this.#owner.onAnswered()
  }

  /** Lets a request wait for earlier ones of its sender. Drops it if too many wait. */
  #wait(lane: Lane, value: unknown, fds: FdSet, context: RequestContext): void {
    const { concurrency } = this.#serve
    const isTooLong =
      lane.waiting.length >= concurrency || this.#waiting >= concurrency * WAITING_PER_HANDLER
    if (isTooLong) {
      this.#dropRequest(fds)
      return
    }
    this.#waiting++
    this.#unanswered++
    lane.waiting.push(new Call(lane, value, fds, context))
  }

  /** Calls the handlers of waiting requests, as far as the limits allow. */
  #runWaiting(lane: Lane): void {
    const { concurrency } = this.#serve
    while (lane.waiting.length > 0 && !this.#isFull(lane) && this.#running < concurrency) {
      const call = lane.waiting.shift() as Call
      this.#waiting--
      if (lane.isBlocked) {
        this.#counts.droppedRequests++
        this.#finish(call)
      } else {
        lane.calls.push(call)
        this.#run(lane, call.value, call.fds, call.context, call)
      }
    }
  }

  #dropRequest(fds: FdSet): void {
    this.#counts.droppedRequests++
    closeSet(fds)
  }

  /** Stops taking requests at the limits, and resumes below them. */
  #update(lane: Lane): void {
    if (this.#isClosed) return
    this.#lanes?.update(lane)
    const only = this.#lane
    const isAtLimit = this.#running >= this.#serve.concurrency
    const isHeld = isAtLimit || (only !== undefined && (only.isBlocked || this.#isFull(only)))
    if (isHeld === this.#isHeld) return
    this.#isHeld = isHeld
    this.#host.receiver.setHeld(isHeld)
    this.#host.settle()
  }
}

/** Returns the only lane of a connected channel. */
function laneOf(connection: Shared): Lane {
  return new Lane(undefined, null, new RequestContext(connection, undefined, undefined))
}

function isThenable(result: unknown): result is PromiseLike<unknown> {
  if (typeof result !== 'object' || result === null) return false
  return typeof (result as Partial<PromiseLike<unknown>>).then === 'function'
}

/** Returns the error with which a channel fails after a handler has thrown something. */
function asError(thrown: unknown): Error {
  if (thrown instanceof Error) return thrown
  return new Error(`The handler of serve has thrown ${describeValue(thrown)}`, { cause: thrown })
}
