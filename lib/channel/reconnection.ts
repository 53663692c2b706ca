import type { AsyncResource } from 'node:async_hooks'
import type { EventEmitter } from 'node:events'
import { Counter } from '#native'
import { environment, forget, unregister } from '../native/environment.js'
import type { ChannelHandle } from '../native/handle.js'
import type { CheckedReconnect } from '../options/reconnect.js'
import { Attempts } from '../util/attempts.js'
import { closedError } from '../util/errors.js'
import { clearTimeout, nextTick, setTimeout } from '../util/timers.js'
import type { Receiver } from './receiver.js'
import type { Sender } from './sender.js'
import type { ChannelState } from './state.js'

/** The parts of a channel that its reconnection controls. */
interface Parts {
  readonly channel: EventEmitter & { readonly closed: boolean }
  readonly context: AsyncResource
  readonly handle: ChannelHandle
  readonly sender: Sender
  readonly receiver: Receiver
  readonly lifecycle: {
    readonly state: ChannelState
    readonly pendingError: Error | undefined
    endInput(error: Error | undefined): void
  }
  readonly serving: { loseConnection(): void } | undefined
  settle(): void
  reportUndelivered(seq: number, error: Error): void
}

/** How a channel gets its next connection. */
export interface Reopening {
  options: CheckedReconnect
  /** Makes one attempt to connect. Returns the index of a new channel of native code. */
  open(signal: AbortSignal): Promise<number>
  /** Returns the error of a peer that has closed its datagram socket; undefined while it is open. */
  findLoss?: (() => Error | undefined) | undefined
}

/**
 * Replaces the connection of a channel whenever it is lost.
 *
 * ```text
 *  connected ──lose──► disconnected ──an attempt succeeds──► connected
 *      │                    │ maxAttempts have failed, or nothing is left to do
 *      └──────stop──────────┴──────────────────────────────► over
 * ```
 *
 * Native code keeps the queue: whole messages that were not sent, in order. Everything else belongs
 * to one connection: the decoder, the requests in flight, a message that was sent in part.
 */
export class Reconnection {
  readonly #parts: Parts
  readonly #reopening: Reopening
  readonly #attempts: Attempts<number>
  #state: 'connected' | 'disconnected' | 'over' = 'connected'
  /** The timer of the next look at the peer of a datagram socket. */
  #timer: NodeJS.Timeout | undefined
  /** The messages that had been received when the connection was made. */
  #received = 0

  constructor(parts: Parts, reopening: Reopening) {
    this.#parts = parts
    this.#reopening = reopening
    this.#attempts = new Attempts(reopening.options, {
      open: reopening.open,
      onOpened: index => this.#connect(index),
      discard: unregister,
      onExhausted: error => this.#giveUp(error),
      // The channel keeps it alive.
      keepsAlive: false,
    })
    environment.keepOnLoss(parts.handle.index)
    this.#watchPeer()
  }

  /** Whether the connection is lost, and attempts are made to replace it. */
  get isDisconnected(): boolean {
    return this.#state === 'disconnected'
  }

  /** Whether messages are queued while the connection is lost. */
  get keepsQueue(): boolean {
    return this.#reopening.options.keepsQueue
  }

  /**
   * Handles the loss of the connection; `error` is undefined for an orderly end. Returns false if the
   * channel does not reconnect: it is closing with an empty queue, or sending has ended.
   */
  lose(error: Error | undefined): boolean {
    if (this.#state === 'disconnected') return true
    if (this.#state === 'over' || !this.#hasPurpose) return false
    const { handle, receiver, sender, serving } = this.#parts
    this.#state = 'disconnected'
    clearTimeout(this.#timer)
    // Nothing distinguishes the replies in the queue from other messages.
    this.#drop(this.keepsQueue && serving === undefined)
    serving?.loseConnection()
    receiver.failInFlight(handle.counter(Counter.OldestQueued), closedError('request', 'peer'))
    sender.setRefusing(!this.keepsQueue)
    this.#emit('disconnect', error)
    this.#attempts.lose(handle.counter(Counter.Received) > this.#received)
    return true
  }

  /** Gives up if nothing is left to send, because the program has ended the sending direction. */
  onFinished(): void {
    if (this.#state === 'disconnected' && !this.#hasPurpose) this.#giveUp(undefined)
  }

  /** Ends all attempts, because the channel closes. */
  stop(): void {
    this.#state = 'over'
    clearTimeout(this.#timer)
    this.#attempts.stop()
  }

  /** Whether another connection would be of use. */
  get #hasPurpose(): boolean {
    const { lifecycle, sender } = this.#parts
    if (lifecycle.pendingError !== undefined) return false
    if (lifecycle.state === 'open') return !sender.isClosed || sender.hasQueue
    return lifecycle.state === 'closing' && sender.hasQueue
  }

  #connect(index: number): void {
    const { handle, sender } = this.#parts
    this.#state = 'connected'
    this.#received = handle.counter(Counter.Received)
    sender.setRefusing(false)
    this.#watchPeer()
    this.#emit('reconnect')
    forget(index)
    // Sends the queue, and runs a turn that reports what has left it.
    environment.reconnect(handle.index, index)
    this.#parts.settle()
  }

  /** Ends the channel as the peer's end does. `error`: that of the last attempt. */
  #giveUp(error: Error | undefined): void {
    this.stop()
    const { lifecycle } = this.#parts
    // A `close()` that waits for the queue rejects, and drops it.
    if (lifecycle.state === 'closing') {
      lifecycle.endInput(error ?? closedError('close', 'peer'))
      return
    }
    this.#drop(false)
    this.#parts.sender.setRefusing(true)
    lifecycle.endInput(undefined)
    this.#parts.settle()
  }

  /** Drops the connection, and all messages unless `keep`. Reports each message that is dropped. */
  #drop(keep: boolean): void {
    for (const seq of this.#parts.handle.disconnect(keep)) {
      this.#parts.reportUndelivered(seq, closedError('send', 'peer'))
    }
  }

  /** Looks regularly whether the peer of a datagram socket has closed: no event reports that. */
  #watchPeer(): void {
    const { findLoss, options } = this.#reopening
    if (findLoss === undefined) return
    const look = () => {
      // What the peer has sent is read first.
      const error = this.#parts.handle.isReading ? findLoss() : undefined
      if (error === undefined) this.#watchPeer()
      else this.lose(error)
    }
    const pause = Math.max(options.minDelay, Math.min(10 * options.minDelay, LONGEST_LOOK))
    this.#timer = setTimeout(look, Math.min(pause, options.maxDelay)).unref()
  }

  #emit(event: 'disconnect' | 'reconnect', ...args: (Error | undefined)[]): void {
    const { channel, context } = this.#parts
    context.runInAsyncScope(nextTick, process, () => {
      if (!channel.closed) channel.emit(event, ...args)
    })
  }
}

/** The longest pause between two looks at the peer of a datagram socket (ms). */
const LONGEST_LOOK = 1_000
