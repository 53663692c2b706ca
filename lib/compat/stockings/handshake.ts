import { startLimits } from '../../util/wait.js'

/** The state of the handshake of a `Stocking`: the promise of its result, and its time limit. */
export class Handshake {
  /** Resolves with the result, rejects with the reason of the failure. It may be ignored. */
  readonly ready: Promise<unknown>
  #state: 'pending' | 'complete' | 'failed' = 'pending'
  #reason: unknown
  #resolve!: (result: unknown) => void
  #reject!: (reason: unknown) => void
  #stopLimit = () => {}

  constructor() {
    this.ready = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    this.ready.catch(() => {})
  }

  get state(): 'pending' | 'complete' | 'failed' {
    return this.#state
  }

  /** Why it has failed; undefined otherwise. */
  get reason(): unknown {
    return this.#reason
  }

  /**
   * Calls `giveUp` with ERR_FDWIRE_TIMEOUT if it is still pending after `timeout` (ms, 0: no
   * limit).
   */
  limit(timeout: number, giveUp: (error: Error) => void): void {
    if (this.#state !== 'pending') return
    this.#stopLimit = startLimits({ timeout }, { late: 'The handshake did not complete' }, giveUp)
  }

  complete(result: unknown): void {
    if (this.#state !== 'pending') return
    this.#state = 'complete'
    this.#stopLimit()
    this.#resolve(result)
  }

  fail(reason: unknown): void {
    if (this.#state !== 'pending') return
    this.#state = 'failed'
    this.#stopLimit()
    this.#reason = reason
    this.#reject(reason)
  }
}
