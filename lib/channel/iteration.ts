import type { Message } from '../wire/message.js'

/** What an iteration needs of its channel. */
export interface IterationSource<V> {
  /** Takes the channel's messages for one iteration; throws where somebody else has them. */
  begin(): void
  /** The next message, null at the end. */
  next(): Promise<Message<V> | null>
  /** Lets the messages go; gives the channel's error if nobody has heard of it. */
  finish(): Error | undefined
}

/** The messages of a channel, for `for await`: `receive()` in a loop, and the only one of its kind. */
export class Iteration<V> implements AsyncIterableIterator<Message<V>> {
  readonly #source: IterationSource<V>
  #state: 'new' | 'active' | 'done' = 'new'

  constructor(source: IterationSource<V>) {
    this.#source = source
  }

  async next(): Promise<IteratorResult<Message<V>, undefined>> {
    if (this.#state === 'done') return atEnd()
    if (this.#state === 'new') this.#source.begin()
    this.#state = 'active'
    try {
      const value = await this.#source.next()
      if (value !== null) return { done: false, value }
    } catch (error) {
      this.#finish()
      throw error
    }
    this.#finish()
    return atEnd()
  }

  /** `break`: closes nothing. Rejects with an error that ended the channel meanwhile. */
  async return(): Promise<IteratorResult<Message<V>, undefined>> {
    const error = this.#finish()
    if (error !== undefined) throw error
    return atEnd()
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  #finish(): Error | undefined {
    const active = this.#state === 'active'
    this.#state = 'done'
    return active ? this.#source.finish() : undefined
  }
}

function atEnd(): IteratorReturnResult<undefined> {
  return { done: true, value: undefined }
}
