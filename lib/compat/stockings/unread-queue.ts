import type { Channel } from '../../channel/channel.js'
import { Queue } from '../../util/queue.js'
import type { Value } from './types.js'

/** Bytes that each message counts in addition to its own, so that empty messages count too. */
const OVERHEAD = 64

/** Messages that were received but not read. Pauses the channel while the queue is full. */
export class UnreadQueue {
  readonly #channel: Pick<Channel, 'pause' | 'resume'>
  readonly #limit: number
  #messages = new Queue<Value>()
  #bytes = 0
  #isPaused = false

  /**
   * `limit`: bytes at which the queue is full. It still accepts the message that reaches the limit.
   */
  constructor(channel: Pick<Channel, 'pause' | 'resume'>, limit: number) {
    this.#channel = channel
    this.#limit = limit
  }

  get length(): number {
    return this.#messages.length
  }

  push(value: Value): void {
    this.#bytes += sizeOf(value)
    this.#messages.push(value)
    if (this.#bytes < this.#limit) return
    this.#isPaused = true
    this.#channel.pause()
  }

  /** Removes the oldest message and returns it; undefined if the queue is empty. */
  shift(): Value | undefined {
    if (this.length === 0) return undefined
    const value = this.#messages.shift() as Value
    this.#bytes -= sizeOf(value)
    // It resumes when half of the queue is free, so that it does not pause again for each message.
    if (this.#isPaused && (this.length === 0 || this.#bytes * 2 <= this.#limit)) this.#resume()
    return value
  }

  clear(): void {
    this.#messages = new Queue()
    this.#bytes = 0
  }

  #resume(): void {
    this.#isPaused = false
    try {
      this.#channel.resume()
    } catch {
      // The channel is closed. Its own events report that.
    }
  }
}

function sizeOf(value: Value): number {
  return OVERHEAD + Buffer.byteLength(value)
}
