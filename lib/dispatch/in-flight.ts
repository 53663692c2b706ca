import { Queue } from '../util/queue.js'

/** The window of a worker that has not announced one. */
const FIRST_WINDOW = 64

/** The connections in messages that a worker has not acknowledged. */
export class InFlight {
  /** The numbers of connections of these messages. */
  readonly #messages = new Queue<number>()
  #connections = 0
  /** The most connections that the worker allows. */
  #window = FIRST_WINDOW

  get isFull(): boolean {
    return this.#connections >= this.#window
  }

  /** The number of messages that are not acknowledged. */
  get messages(): number {
    return this.#messages.length
  }

  /** Sets the window that the worker has announced. */
  setWindow(connections: number): void {
    this.#window = connections
  }

  /** Counts a connection of the next message. */
  count(): void {
    this.#connections++
  }

  /** Counts connections as not sent. */
  uncount(connections: number): void {
    this.#connections -= connections
  }

  /** Adds a sent message, whose connections were counted. */
  push(connections: number): void {
    this.#messages.push(connections)
  }

  /** Acknowledges a message. Returns the number of its connections. */
  acknowledge(): number {
    const connections = this.#messages.shift() ?? 0
    this.#connections -= connections
    return connections
  }
}
