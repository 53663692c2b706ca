import { nextTick } from '../../util/timers.js'

/** Answers one request. Calls `done` when the request no longer counts for the limits. */
export type Job = (done: () => void) => Promise<void> | void

/** How many requests of one connection may be in progress. */
export interface RequestLimits {
  /** Requests at which the transport is asked to stop reading. */
  crowded: number
  /** The largest number of requests; `add` refuses more. */
  max: number
  /** The largest number of bytes of them. At a quarter the transport is asked to stop reading. */
  maxBytes: number
}

interface QueuedJob {
  job: Job
  bytes: number
}

/**
 * Requests that wait for their callbacks or whose answers are being sent.
 *
 * There is one queue per service and data id, whose requests run one after another so that their
 * answers go out in order. Different queues run concurrently.
 */
export class RequestQueues {
  readonly #limits: RequestLimits
  /** The waiting jobs of each queue whose first job is running. */
  readonly #queues = new Map<string, QueuedJob[]>()
  /** Requests of the current connection that wait or run, and their bytes. */
  #length = 0
  #bytes = 0
  /** Counts the connections. */
  #generation = 0
  #completed = 0

  constructor(limits: RequestLimits) {
    this.#limits = limits
  }

  /** The number of requests that have completed. */
  get completed(): number {
    return this.#completed
  }

  /** Whether the requests exceed `factor` times the limit at which the transport stops reading. */
  isCrowded(factor: number): boolean {
    const { crowded, maxBytes } = this.#limits
    return this.#length >= crowded * factor || this.#bytes * 4 >= maxBytes * factor
  }

  /** Adds a request to the queue `key`; returns false if there are too many. */
  add(key: string, bytes: number, job: Job): boolean {
    const { max, maxBytes } = this.#limits
    if (this.#length >= max || (this.#bytes > 0 && this.#bytes + bytes > maxBytes)) return false
    this.#length++
    this.#bytes += bytes
    const queue = this.#queues.get(key)
    if (queue === undefined) void this.#run(key, { job, bytes })
    else queue.push({ job, bytes })
    return true
  }

  /** Drops waiting requests, at the end of the connection. Running callbacks block their queues. */
  clear(): void {
    for (const queue of this.#queues.values()) queue.length = 0
    this.#length = 0
    this.#bytes = 0
    this.#generation++
  }

  async #run(key: string, first: QueuedJob): Promise<void> {
    const queue: QueuedJob[] = []
    this.#queues.set(key, queue)
    for (let next: QueuedJob | undefined = first; next !== undefined; next = queue.shift()) {
      const { job, bytes } = next
      const generation = this.#generation
      const done = () => {
        this.#completed++
        if (generation !== this.#generation) return
        this.#length--
        this.#bytes -= bytes
      }
      try {
        await job(done)
      } catch (error) {
        // A logger or an event listener has thrown. That must not stop the queue.
        nextTick(() => {
          throw error
        })
      }
    }
    this.#queues.delete(key)
  }
}
