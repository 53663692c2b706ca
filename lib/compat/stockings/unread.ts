import { Queue } from '../../util/queue.js'

/** A message of stockings: each says itself what it is. */
export type Value = string | Buffer

/** What a message takes beside its own bytes, so that empty ones count too. */
const OVERHEAD = 64

/** The messages that came and were not read yet, as far as there is room for them. */
export class Unread {
  readonly #limit: number
  #messages = new Queue<Value>()
  #bytes = 0

  /** `limit`: bytes at which it is full; the message that reaches it is taken. */
  constructor(limit: number) {
    this.#limit = limit
  }

  get length(): number {
    return this.#messages.length
  }

  get isFull(): boolean {
    return this.#bytes >= this.#limit
  }

  /** Whether there is room again: half of it, so that reading does not stop and go by the message. */
  get hasRoom(): boolean {
    return this.#bytes * 2 <= this.#limit || this.length === 0
  }

  push(value: Value): void {
    this.#bytes += sizeOf(value)
    this.#messages.push(value)
  }

  /** The oldest message; undefined where there is none. */
  shift(): Value | undefined {
    if (this.length === 0) return undefined
    const value = this.#messages.shift() as Value
    this.#bytes -= sizeOf(value)
    return value
  }

  clear(): void {
    this.#messages = new Queue()
    this.#bytes = 0
  }
}

function sizeOf(value: Value): number {
  return OVERHEAD + Buffer.byteLength(value)
}
