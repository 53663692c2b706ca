import type { Address } from '../../options/address.js'
import { closedError } from '../../util/errors.js'
import { startLimits } from '../../util/wait.js'
import type { Channel } from '../channel.js'
import type { SendOptions } from '../events.js'
import type { ServeCounts } from './counts.js'
import { Lanes } from './lanes.js'
import type { CheckedServe } from './options.js'
import { Requests } from './requests.js'
import { ServedConnection } from './served-connection.js'

/**
 * ```text
 *  serving ──── the signal ────► draining ──── all replies are flushed ────► done
 *     └─────────────┬────────────────┘                                        ▲
 *                   └─────── the channel is closed, or has failed ────────────┘
 * ```
 *
 * - `serving`: requests are taken.
 * - `draining`: no request is taken. The replies of running handlers are sent.
 * - `done`: the promise of `serve` has settled. Further replies are dropped.
 */
type ServingState = 'serving' | 'draining' | 'done'

/** The parts of a channel that serving uses. */
export interface ServingHost {
  readonly channel: Channel
  readonly sender: {
    /** Whether messages are dropped, because the connection has failed. */
    readonly isDropping: boolean
    send(value: unknown, options: SendOptions | undefined): number
  }
  readonly receiver: {
    /** How many messages are received but not delivered. */
    readonly unread: number
    /** Stops or resumes the delivery of requests. */
    setHeld(isHeld: boolean): void
    /** Ends the delivery of requests. */
    stopServing(): void
  }
  /** How many messages were received. */
  readonly received: number
  /** Sets whether handlers run, while which no deadline passes. */
  setBusy(busy: boolean): void
  /** Makes `onHangUp` be called when nothing can be sent to the peer any more. */
  watchHangUp(): void
  /** Destroys the channel with an error. */
  fail(error: Error): void
  /** Updates whether the channel reads, and reports its end if that is due. */
  settle(): void
  flush(): Promise<void>
  /** Called when no request is unanswered. */
  onAnswered(): void
  /** Called when `drain` is complete: the channel may have another consumer. */
  onDrained(): void
}

/** One call of `serve` on a channel: what it takes, and how it ends. */
export class Serving {
  readonly #host: ServingHost
  readonly #requests: Requests
  readonly #lanes: Lanes | undefined
  readonly #stopWatching: () => void
  #state: ServingState = 'serving'
  #connection: ServedConnection
  #resolve = nothing
  #reject: (error: Error) => void = nothing
  /** Settles at the end of serving. A rejection is marked as handled. */
  readonly promise = new Promise<void>((resolve, reject) => {
    this.#resolve = resolve
    this.#reject = reject
  })

  /** `isConnected`: whether the channel has a peer, to which all replies go. */
  constructor(
    host: ServingHost,
    serve: CheckedServe,
    { isConnected, allowRelative }: { isConnected: boolean; allowRelative: boolean },
    counts: ServeCounts,
  ) {
    this.#host = host
    this.#lanes = isConnected ? undefined : new Lanes(allowRelative)
    this.#connection = this.#newConnection()
    this.#requests = new Requests(host, serve, this.#lanes, counts, this)
    this.promise.catch(nothing)
    const { signal } = serve
    this.#stopWatching =
      signal === undefined
        ? nothing
        : startLimits({ timeout: 0, signal }, { late: 'serve' }, () => this.drain())
  }

  /** The connection whose requests are taken now. */
  get connection(): ServedConnection {
    return this.#connection
  }

  /** How many handlers run. */
  get running(): number {
    return this.#requests.running
  }

  /** How many requests are not answered. */
  get unanswered(): number {
    return this.#requests.unanswered
  }

  /** Whether an address belongs to a peer that sends requests; undefined: the channel's peer. */
  isServed(to: Address | null | undefined): boolean {
    if (this.#lanes === undefined || to === undefined || to === null) return true
    return this.#lanes.has(to)
  }

  /** Takes a request. It never throws. */
  get take(): Requests['take'] {
    return this.#requests.take
  }

  /** Handles the event that the queue for a destination (undefined: the peer) is empty. */
  onDrain(to: Address | undefined): void {
    if (this.#state !== 'done') this.#requests.onDrain(to)
  }

  /**
   * Stops waiting for `'drain'`, because nothing can be sent any more. The last requests are still
   * handled; the channel fails after them.
   */
  loseOutput(error: Error): void {
    if (this.#state === 'done') return
    this.#connection.end(error)
    this.#requests.onDrain(undefined)
  }

  /**
   * Drops the replies to all requests that were received so far, because another connection will
   * replace theirs, and its peer would take them for replies to its own requests.
   */
  loseConnection(): void {
    if (this.#state === 'done') return
    this.#connection.end(closedError('serve', 'peer'))
    this.#connection = this.#newConnection()
    this.#requests.loseConnection()
  }

  /** Takes no more requests, and ends serving when the replies of running handlers are flushed. */
  drain(): void {
    if (this.#state !== 'serving') return
    this.#state = 'draining'
    this.#host.receiver.stopServing()
    this.#host.settle()
    if (this.unanswered === 0) void this.#flush()
  }

  /** The peer has closed the connection: no reply reaches it. Tells the handlers that run. */
  onHangUp(): void {
    if (this.#state !== 'done') this.#connection.hangUp(closedError('serve', 'peer'))
  }

  /** Ends serving because the channel has failed. Returns whether the promise takes the error. */
  fail(error: Error): boolean {
    if (this.#state === 'done') return false
    this.#reject(error)
    this.#close(error)
    return true
  }

  /** Ends serving because the channel is closed. */
  end(): void {
    if (this.#state === 'done') return
    this.#resolve()
    this.#close(undefined)
  }

  /** Drops the replies that are not sent, and tells the handlers that run. */
  #close(error: Error | undefined): void {
    this.#state = 'done'
    this.#stopWatching()
    this.#requests.close()
    this.#connection.end(error)
  }

  #newConnection(): ServedConnection {
    return new ServedConnection(this.#host.channel, () => this.#host.watchHangUp())
  }

  /** No request is unanswered. */
  onAnswered(): void {
    if (this.#state === 'draining') void this.#flush()
    else if (this.#state === 'serving') this.#host.onAnswered()
  }

  async #flush(): Promise<void> {
    // The channel reports the error of a message that could not be delivered.
    await this.#host.flush().catch(nothing)
    if (this.#state !== 'draining') return
    this.#state = 'done'
    this.#stopWatching()
    this.#host.onDrained()
    this.#resolve()
  }
}

function nothing(): void {}
