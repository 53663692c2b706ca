import type { AsyncResource } from 'node:async_hooks'
import type { EventEmitter } from 'node:events'
import { Counter } from '#native'
import type { ChannelHandle } from '../native/handle.js'
import type { CheckedOptions } from '../options/check.js'
import { diagnostics } from '../util/diagnostics.js'
import { type ClosedBy, closedError, FdwireError, isDisconnected } from '../util/errors.js'
import { clearTimeout, nextTick, now, setTimeout } from '../util/timers.js'
import type { Receiver } from './receiver.js'
import type { Sender } from './sender.js'
import type { Serving } from './serve/serving.js'
import type { ChannelState } from './state.js'

const { close } = diagnostics

/** The default `timeout` of `close()` (ms). */
export const CLOSE_TIMEOUT = 10_000

/** The listener that accepted a channel, called when its socket is closed, before `'close'`. */
export interface ChannelOwner {
  onChannelClosed(): void
}

/** The parts of a channel that its lifecycle controls. */
interface Parts {
  readonly options: CheckedOptions
  readonly channel: EventEmitter
  readonly context: AsyncResource
  readonly handle: ChannelHandle
  readonly sender: Sender
  readonly receiver: Receiver
  readonly serving: Serving | undefined
  readonly reconnection: { stop(): void; onFinished(): void } | undefined
}

/** How the input from the peer has ended. */
interface InputEnd {
  /** Undefined for an orderly end. */
  error: Error | undefined
  /** Whether a promise was rejected with the error. */
  isHandled: boolean
  /** Whether an orderly end was reported. */
  isReported: boolean
}

/** The error that has closed a channel. */
interface Failure {
  error: Error
  /** Whether it is left to an iteration to report the error. */
  isUnreported: boolean
}

/**
 * The state of a channel, and its last events: message* → `'end'` → `'close'`, or message* →
 * `'error'` → `'close'`.
 *
 * The end of the input is reported after the messages that precede it. After `close()` and
 * `destroy()` nothing is delivered. `'close'` is emitted last, once.
 *
 * An error rejects the waiting promises; if there are none, the next step of an active iteration
 * throws it. It is also emitted as `'error'` if there is a listener, or if there was neither a
 * promise nor an iteration.
 */
export class Lifecycle {
  readonly #parts: Parts
  readonly #owner: ChannelOwner | undefined
  #state: ChannelState = 'open'
  /** How the input has ended. It is reported when all messages before it are delivered. */
  #inputEnd: InputEnd | undefined
  #failure: Failure | undefined
  #closedBy: ClosedBy = 'caller'
  #closing: Promise<void> | undefined
  /** Called when the input ends or the channel closes: continues a `close()` that waits. */
  #onInputEnd: (() => void) | undefined
  /** The calls that wait for `'close'`; EMITTED once it is emitted. */
  #closeWaiters = NONE
  /** Whether messages can still be sent after the peer has ended. */
  #allowsHalfOpen: boolean

  constructor(parts: Parts, owner: ChannelOwner | undefined) {
    this.#parts = parts
    this.#owner = owner
    this.#allowsHalfOpen = parts.options.allowHalfOpen
  }

  get state(): ChannelState {
    return this.#state
  }

  /** Whether messages can be delivered or sent: `open` or `peer-ended`. */
  get isOpen(): boolean {
    return this.#state === 'open' || this.#state === 'peer-ended'
  }

  /** Whether the peer's end was reported, also after the channel is closed. */
  get hasEnded(): boolean {
    return this.#inputEnd?.isReported === true
  }

  /** The error that has closed the channel. */
  get error(): Error | undefined {
    return this.#failure?.error
  }

  /** The error with which the channel will fail once all messages before it are delivered. */
  get pendingError(): Error | undefined {
    return this.#inputEnd?.error
  }

  /** Returns the error that is left to an iteration to report. The caller must report it. */
  takeUnreported(): Error | undefined {
    const failure = this.#failure
    if (failure?.isUnreported !== true) return undefined
    failure.isUnreported = false
    return failure.error
  }

  /** Throws the error that has closed the channel, if there is one. */
  checkError(): void {
    if (this.#failure === undefined) return
    this.#failure.isUnreported = false
    throw this.#failure.error
  }

  /**
   * Throws ERR_FDWIRE_CLOSED after `close()` or `destroy()`; ERR_FDWIRE_PEER_CLOSED if the channel
   * has closed itself after the peer's end or a reset.
   */
  checkOpen(call: string): void {
    if (!this.isOpen) throw this.closedError(call)
  }

  /** Returns the error of a call on the closed channel. */
  closedError(call: string): FdwireError {
    return closedError(call, this.#closedBy)
  }

  /** Leaves it to the owner of the channel to end it after the peer has ended. */
  keepHalfOpen(): void {
    this.#allowsHalfOpen = true
  }

  /** Half-closes the connection when everything is sent. */
  finish(): void {
    this.checkOpen('end')
    const { sender, handle } = this.#parts
    if (sender.isClosed) return
    sender.close('caller')
    handle.finish()
    this.#parts.reconnection?.onFinished()
    if (this.#state === 'peer-ended') this.#closeByItself()
  }

  /** Notes that the input has ended. `settle` reports it. */
  endInput(error: Error | undefined): void {
    // After an error nothing more is sent, even while messages are still delivered.
    const isHandled = error !== undefined && this.#failFlushes(error)
    // The first error wins. It replaces an orderly end.
    if (this.#inputEnd?.error === undefined) {
      this.#inputEnd = { error, isHandled, isReported: this.hasEnded }
    }
    if (error !== undefined && this.isOpen) this.#loseOutput(error)
    this.#onInputEnd?.()
  }

  /**
   * Drops what is sent from now on. The error follows the unread messages; a program that does not read
   * them before `'drain'` would wait for ever.
   */
  #loseOutput(error: Error): void {
    const { channel, context, sender, serving } = this.#parts
    sender.drop()
    serving?.loseOutput(error)
    if (!sender.hasQueue) return
    context.runInAsyncScope(nextTick, process, () => {
      if (this.isOpen) channel.emit('drain', undefined)
    })
  }

  /** Reports how the input has ended, once all messages before that are delivered. */
  settle(): void {
    if (this.#inputEnd === undefined || !this.isOpen) return
    const { channel, context, receiver } = this.#parts
    if (receiver.unread > 0) return
    const { error, isHandled } = this.#inputEnd
    if (error !== undefined) {
      if (isDisconnected(error)) this.#noteClosedByPeer()
      this.#destroy(error, isHandled)
      return
    }
    if (this.#state === 'peer-ended') return
    this.#state = 'peer-ended'
    this.#inputEnd.isReported = true
    receiver.endAll('peer')
    context.runInAsyncScope(nextTick, process, () => {
      if (!this.isOpen) return
      try {
        channel.emit('end')
      } finally {
        this.closeAfterReplies()
      }
    })
  }

  /** Closes after the peer's end, unless the program keeps its side open or `serve` has to reply. */
  closeAfterReplies(): void {
    const { sender, serving } = this.#parts
    if (this.#state !== 'peer-ended') return
    if (this.#allowsHalfOpen && !sender.isClosed) return
    if (sender.isClosed || (serving?.unanswered ?? 0) === 0) this.#closeByItself()
  }

  /** Sends the queue, and closes within `timeout` (ms, 0: no limit). */
  close(timeout: number): Promise<void> {
    this.#setClosedBy('caller')
    this.#closing ??= this.#state === 'closed' ? this.#whenClosed() : this.#close(timeout)
    return this.#closing
  }

  /** Closes at once and drops the queue. */
  destroy(error: Error | undefined): void {
    this.#setClosedBy('caller')
    this.#destroy(error, this.#closing !== undefined)
  }

  /** Closes the channel but not its socket. Returns the socket's descriptor. */
  detach(): number {
    this.#leave()
    const fd = this.#parts.handle.detach()
    this.#emitClose()
    return fd
  }

  /** `isHandled`: a promise was rejected with the error, or will be. */
  #destroy(error: Error | undefined, isHandled: boolean): void {
    if (this.#state === 'closed') return
    const { handle, receiver } = this.#parts
    this.#leave()
    handle.close()
    const isFlushRejected = this.#failFlushes(error)
    if (error === undefined) {
      receiver.endAll(this.#closedBy)
    } else {
      const isServing = this.#parts.serving?.fail(error) ?? false
      const isTaken = receiver.failAll(error) || isFlushRejected || isServing || isHandled
      this.#emitError(error, isTaken)
    }
    this.#emitClose()
  }

  /** Rejects the waiting `flush()` calls. Returns whether there was one. */
  #failFlushes(error: Error | undefined): boolean {
    const { flushes } = this.#parts.sender
    return flushes?.failAll(error ?? this.closedError('flush')) ?? false
  }

  #emitError(error: Error, isTaken: boolean): void {
    const { channel, context, receiver } = this.#parts
    const isIterating = receiver.consumer.isIterating
    const failure = { error, isUnreported: !isTaken && isIterating }
    this.#failure = failure
    context.runInAsyncScope(nextTick, process, () => {
      if ((isTaken || isIterating) && channel.listenerCount('error') === 0) return
      failure.isUnreported = false
      channel.emit('error', error)
    })
  }

  /** Emits `'close'` in a tick of its own, which runs even if an `'error'` listener throws. */
  #emitClose(): void {
    const { channel, context, serving } = this.#parts
    context.runInAsyncScope(nextTick, process, () => {
      serving?.end()
      if (close.hasSubscribers) close.publish({ channel, error: this.error })
      for (const resolve of this.#closeWaiters) resolve()
      this.#closeWaiters = EMITTED
      channel.emit('close')
    })
  }

  /** Resolves when `'close'` is emitted. */
  #whenClosed(): Promise<void> {
    if (this.#closeWaiters === EMITTED) return Promise.resolve()
    return new Promise(resolve => {
      this.#closeWaiters = [...this.#closeWaiters, resolve]
    })
  }

  /** Closes after the peer's end. Only `flush()` and `close()` report unsent messages. */
  #closeByItself(): void {
    if (this.#state === 'closed' || this.#closing !== undefined) return
    this.#noteClosedByPeer()
    this.#beginClosing()
    if (this.#closeAtOnce()) return
    this.#closing = this.#closeWithin(CLOSE_TIMEOUT, true)
    this.#closing.catch(() => {})
  }

  async #close(timeout: number): Promise<void> {
    this.#beginClosing()
    // The socket never closes inside the call: the peer may be in this process, and send as well.
    await undefined
    if (this.#state !== 'closed' && this.#closeAtOnce()) await this.#whenClosed()
    else await this.#closeWithin(timeout, false)
  }

  /** Ends delivery and the waiting calls, and sends what has been gathered, unless sending failed. */
  #beginClosing(): void {
    this.#stop()
    this.#parts.receiver.endAll(this.#closedBy)
    if (this.pendingError === undefined) this.#parts.handle.flush()
  }

  /** Fast path: closes the socket if it need not wait for anything. Returns whether it did. */
  #closeAtOnce(): boolean {
    if (this.pendingError !== undefined) return false
    if (!this.#parts.handle.closeIfIdle(this.#inputEnd !== undefined)) return false
    this.#destroy(undefined, true)
    return true
  }

  /** `isAfterEnd`: the channel closes itself after the peer's end, so it emits no `'error'`. */
  async #closeWithin(timeout: number, isAfterEnd: boolean): Promise<void> {
    const { handle } = this.#parts
    const isOver = this.#state === 'closed' || this.pendingError !== undefined
    const isLate = !isOver && (await this.#isSendingLate(timeout))
    const unsent = handle.counter(Counter.QueuedBytes)
    const lost = unsent > 0 ? this.pendingError : undefined
    this.#destroy(isAfterEnd ? undefined : lost, true)
    await this.#whenClosed()
    this.checkError()
    if (lost !== undefined) throw lost
    if (!isLate) return
    const message = `close: ${unsent} bytes unsent in ${timeout} ms, or the peer did not end`
    throw new FdwireError('ERR_FDWIRE_TIMEOUT', message, { unsent })
  }

  /** Sends what is queued and half-closes. Returns whether that took longer than `timeout` (ms). */
  async #isSendingLate(timeout: number): Promise<boolean> {
    const { sender, handle, options } = this.#parts
    const began = now()
    if (sender.hasQueue) {
      const hasPeer = options.type !== 'dgram' || handle.peerAddress() !== null
      // If both ends close and neither reads, neither can send its queue.
      if (hasPeer && this.#inputEnd === undefined) handle.discardInput()
      if (await sender.isQueueLate(timeout)) return true
    }
    if (this.#state === 'closed') return false
    return this.#isShutDownLate(timeout === 0 ? 0 : timeout - (now() - began))
  }

  /** Shuts down both directions. Returns whether the peer ends later than in `timeout` (ms). */
  #isShutDownLate(timeout: number): Promise<boolean> {
    let isDone = false
    let resolve: ((isLate: boolean) => void) | undefined
    this.#onInputEnd = () => {
      isDone = true
      resolve?.(false)
    }
    this.#parts.handle.shutDown(this.#inputEnd !== undefined, this.#onInputEnd)
    if (isDone) return Promise.resolve(false)
    return new Promise<boolean>(settle => {
      const timer = timeout > 0 ? setTimeout(settle, timeout, true).unref() : undefined
      resolve = isLate => {
        clearTimeout(timer)
        settle(isLate)
      }
    })
  }

  /** If the program has ended its side, the channel is closed by both. */
  #noteClosedByPeer(): void {
    if (!this.#parts.sender.isClosed) this.#setClosedBy('peer')
  }

  #setClosedBy(by: ClosedBy): void {
    this.#closedBy = by
    if (this.#parts.sender.isClosed) this.#parts.sender.close(by)
  }

  /** Ends delivery and refuses to send. The queue is still sent. */
  #stop(): void {
    if (this.#state !== 'closed') this.#state = 'closing'
    this.#parts.sender.close(this.#closedBy)
    this.#parts.receiver.stop()
  }

  /** Enters the state `closed`. The caller closes or detaches the socket next. */
  #leave(): void {
    this.#stop()
    this.#state = 'closed'
    this.#parts.reconnection?.stop()
    this.#owner?.onChannelClosed()
    this.#onInputEnd?.()
  }
}

const NONE: (() => void)[] = []
const EMITTED: (() => void)[] = []
