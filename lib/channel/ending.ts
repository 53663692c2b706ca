import type { AsyncResource } from 'node:async_hooks'
import type { EventEmitter } from 'node:events'

/**
 * The end of a channel: its error, who hears of that, and `'close'` as the last event.
 *
 * An error is heard by the promises that wait, or else by the iteration under way when it asks for
 * its next message or breaks off; and by `'error'` where it has a listener, or nobody else heard.
 */
export class Ending {
  #error: Error | undefined
  /** The error, as long as nobody but an iteration can hear of it. */
  #unheard: Error | undefined
  #ended = false
  #waiting: (() => void)[] = []

  /** Why the channel has ended. */
  get error(): Error | undefined {
    return this.#error
  }

  /** Throws the error, if there is one. */
  check(): void {
    if (this.#error === undefined) return
    this.#unheard = undefined
    throw this.#error
  }

  /** The error if nobody has heard of it so far; who asks hears. */
  unheard(): Error | undefined {
    const error = this.#unheard
    this.#unheard = undefined
    return error
  }

  /** Resolves when `'close'` was emitted. */
  wait(): Promise<void> {
    if (this.#ended) return Promise.resolve()
    return new Promise(resolve => this.#waiting.push(resolve))
  }

  /** Tells of an error that `heard` says a promise has taken, or an iteration will. */
  fail(
    channel: EventEmitter,
    context: AsyncResource,
    error: Error,
    heard: boolean | 'later',
  ): void {
    this.#error = error
    if (heard === 'later') this.#unheard = error
    context.runInAsyncScope(process.nextTick, process, () => {
      if (heard && channel.listenerCount('error') === 0) return
      this.#unheard = undefined
      channel.emit('error', error)
    })
    this.end(channel, context)
  }

  /** Tells of the end: in a tick of its own, which also comes where `'error'` throws. */
  end(channel: EventEmitter, context: AsyncResource): void {
    context.runInAsyncScope(process.nextTick, process, () => {
      this.#ended = true
      for (const resolve of this.#waiting) resolve()
      this.#waiting = []
      channel.emit('close')
    })
  }
}
