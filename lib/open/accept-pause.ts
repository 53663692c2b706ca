import type { SystemError } from '../util/errors.js'
import { setTimeout } from '../util/timers.js'

/** The lengths of the first and the longest pause (ms). */
const FIRST = 10
const LONGEST = 1_000

/**
 * The temporary errors of accept4(2): no descriptor or no memory is free, or a firewall rule forbids
 * the connection.
 */
const TEMPORARY = new Set(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM', 'EPERM'])

/**
 * Pauses a listener while it cannot accept connections, usually because no descriptor is free.
 *
 * Each pause is twice as long as the previous one, until a connection is accepted.
 */
export class AcceptPause {
  readonly #resume: () => void
  #time = 0
  #isActive = false
  #hasWarned = false

  /** `resume` is called at the end of each pause. */
  constructor(resume: () => void) {
    this.#resume = resume
  }

  /** Whether the listener must not accept connections now. */
  get isActive(): boolean {
    return this.#isActive
  }

  /** Makes the next pause as short as the first one. */
  reset(): void {
    this.#time = 0
  }

  /** Starts a pause, and warns if it is the first. Returns false if the error is not temporary. */
  start(error: SystemError): boolean {
    if (!TEMPORARY.has(error.code)) return false
    if (!this.#hasWarned) this.#warn(error)
    this.#isActive = true
    this.#time = Math.min(Math.max(this.#time * 2, FIRST), LONGEST)
    const timer = setTimeout(() => {
      this.#isActive = false
      this.#resume()
    }, this.#time)
    timer.unref()
    return true
  }

  #warn(error: SystemError): void {
    this.#hasWarned = true
    process.emitWarning(
      `A listener pauses because it cannot accept connections: ${error.message}`,
      {
        type: 'FdwireWarning',
        code: 'FDWIRE_ACCEPT_PAUSED',
        detail: `It tries again after ${FIRST} ms to ${LONGEST} ms. Each listener warns once.`,
      },
    )
  }
}
