import type { Message } from '../wire/message.js'
import type { ChannelCore } from './core.js'

/** The async iterator of a channel: `receive()` in a loop, as the only consumer of the channel. */
export class Iteration<V> implements AsyncIterableIterator<Message<V>> {
  readonly #core: ChannelCore
  #state: 'new' | 'active' | 'done' = 'new'

  constructor(core: ChannelCore) {
    this.#core = core
  }

  async next(): Promise<IteratorResult<Message<V>, undefined>> {
    if (this.#state === 'done') return end()
    if (this.#state === 'new') this.#core.receiver.consumer.beginIterating()
    this.#state = 'active'
    try {
      const message = await this.#receive()
      if (message !== null) return { done: false, value: message as Message<V> }
    } catch (error) {
      this.#finish()
      throw error
    }
    this.#finish()
    return end()
  }

  /** Runs at `break`. Rejects with an error that has closed the channel and was not reported. */
  async return(): Promise<IteratorResult<Message<V>, undefined>> {
    const error = this.#finish()
    if (error !== undefined) throw error
    return end()
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  #receive(): Promise<Message | null> {
    const { lifecycle } = this.#core
    // After close() an iteration ends, whereas receive() rejects.
    if (lifecycle.error === undefined && !lifecycle.isOpen) return Promise.resolve(null)
    return this.#core.receive({}, false)
  }

  #finish(): Error | undefined {
    const wasActive = this.#state === 'active'
    this.#state = 'done'
    if (!wasActive) return undefined
    this.#core.receiver.consumer.end()
    return this.#core.lifecycle.takeUnreported()
  }
}

function end(): IteratorReturnResult<undefined> {
  return { done: true, value: undefined }
}
