import { startLimits } from '../../util/wait.js'

/** The handshake of a `Stocking`: its state, the promise of its result, and its timeout. */
export class Handshake {
  /** Resolves to the result, or rejects with the reason of the failure. It may be ignored. */
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
   * Calls `onTimeout` with ERR_FDWIRE_TIMEOUT if the handshake is still pending after `timeout`
   * (ms, 0: no limit).
   */
  limit(timeout: number, onTimeout: (error: Error) => void): void {
    if (this.#state !== 'pending') return
    const late = 'The handshake did not complete'
    this.#stopLimit = startLimits({ timeout }, { late }, onTimeout)
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
