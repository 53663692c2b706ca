/** What is to be done for one request: finds the answer, and sends it; calls `done` then. */
export type Job = (done: () => void) => Promise<void> | void

/** How many requests there may be at once. */
export interface RequestLimits {
  /** Requests at which the transport is asked to hold the next ones. */
  held: number
  /** Requests at which the connection is given up. */
  most: number
  /** Their bytes, at which the connection is given up; it is held at a quarter of them. */
  mostBytes: number
}

interface Waiting {
  job: Job
  bytes: number
}

/**
 * The requests that wait for their callbacks, or for their answers to go out.
 *
 * Those of one service and datum are worked off one after another, so that their answers come in
 * order; different ones do not wait for each other.
 */
export class Responder {
  readonly #limits: RequestLimits
  /** Who waits, of each lane that works. */
  readonly #lanes = new Map<string, Waiting[]>()
  /** Those of this connection, that wait or are worked on, and their bytes. */
  #length = 0
  #bytes = 0
  #generation = 0
  #done = 0

  constructor(limits: RequestLimits) {
    this.#limits = limits
  }

  /** How many have been worked off. */
  get done(): number {
    return this.#done
  }

  /** Whether the transport shall hold what comes next, with so many times the usual patience. */
  isCrowded(patience: number): boolean {
    const { held, mostBytes } = this.#limits
    return this.#length >= held * patience || this.#bytes * 4 >= mostBytes * patience
  }

  /** Adds a request; false where there are too many. */
  add(key: string, bytes: number, job: Job): boolean {
    const { most, mostBytes } = this.#limits
    if (this.#length >= most || (this.#bytes > 0 && this.#bytes + bytes > mostBytes)) return false
    this.#length++
    this.#bytes += bytes
    const lane = this.#lanes.get(key)
    if (lane === undefined) void this.#work(key, { job, bytes })
    else lane.push({ job, bytes })
    return true
  }

  /** Forgets who waits: nobody could be answered. A callback that runs is waited for all the same. */
  clear(): void {
    for (const lane of this.#lanes.values()) lane.length = 0
    this.#length = 0
    this.#bytes = 0
    this.#generation++
  }

  async #work(key: string, first: Waiting): Promise<void> {
    const lane: Waiting[] = []
    this.#lanes.set(key, lane)
    for (let next: Waiting | undefined = first; next !== undefined; next = lane.shift()) {
      const generation = this.#generation
      const done = () => {
        this.#done++
        if (generation !== this.#generation) return
        this.#length--
        this.#bytes -= (next as Waiting).bytes
      }
      try {
        await next.job(done)
      } catch (error) {
        // What a logger or a listener throws is the process's business, and not the next request's.
        process.nextTick(() => {
          throw error
        })
      }
    }
    this.#lanes.delete(key)
  }
}
