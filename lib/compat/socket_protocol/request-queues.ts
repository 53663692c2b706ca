import { nextTick } from '../../util/timers.js'

/** Answers one request. Calls `done` when the request no longer counts towards the limits. */
export type Job = (done: () => void) => Promise<void> | void

/** The limits for the requests of one connection. */
export interface RequestLimits {
  /** The number of requests at which the transport stops reading. */
  crowded: number
  /** The most requests; `add` refuses more. */
  max: number
  /** The most bytes of requests. At a quarter of it the transport stops reading. */
  maxBytes: number
}

interface QueuedJob {
  job: Job
  bytes: number
}

/**
 * The requests that wait or are being answered.
 *
 * There is one queue per service and data id, whose requests run one after another so that their
 * answers go out in order. Different queues run concurrently.
 */
export class RequestQueues {
  readonly #limits: RequestLimits
  /** The waiting jobs of each queue. A queue exists while one of its jobs runs. */
  readonly #queues = new Map<string, QueuedJob[]>()
  /** The number of requests of the current connection that wait or run. */
  #length = 0
  /** The bytes of those requests. */
  #bytes = 0
  /** The number of the current connection. */
  #generation = 0
  #completed = 0

  constructor(limits: RequestLimits) {
    this.#limits = limits
  }

  /** The number of requests that have completed. */
  get completed(): number {
    return this.#completed
  }

  /** Whether the requests reach `factor` times the limits at which the transport stops reading. */
  isCrowded(factor: number): boolean {
    const { crowded, maxBytes } = this.#limits
    return this.#length >= crowded * factor || this.#bytes * 4 >= maxBytes * factor
  }

  /** Adds a request to the queue `key`. Returns false if there are too many. */
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

  /**
   * Drops the waiting requests, at the end of the connection. Callbacks that run still block their
   * queues.
   */
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
        // An exception of a logger or an event listener must not stop the queue.
        nextTick(() => {
          throw error
        })
      }
    }
    this.#queues.delete(key)
  }
}
