import { readdirSync } from 'node:fs'
import { softLimit } from '../util/process-limits.js'
import { clearTimeout, setTimeout } from '../util/timers.js'

/** How many descriptors stay free besides those of the messages on their way. */
const SPARE = 16

/** How often to check whether enough descriptors are free again (ms). */
const RETRY = 50

/**
 * Tells when a process has too few free descriptors to receive more.
 *
 * The kernel gives a descriptor the lowest free number. So a number near the limit means that nearly
 * all are in use.
 */
export class Headroom {
  readonly #limit: number
  #timer: NodeJS.Timeout | undefined

  /** `reserve`: how many descriptors may be on their way. `limit`: the most open ones. */
  constructor(reserve: number, limit: number) {
    // A process with a low limit may use half of the descriptors that are free now.
    const base = limit === Number.POSITIVE_INFINITY ? 0 : openFiles()
    this.#limit = Math.max(limit - reserve - SPARE, Math.floor((base + limit) / 2))
  }

  /** Whether a received descriptor shows that the process has too few free ones. */
  isScarce(fd: number): boolean {
    return fd >= this.#limit
  }

  /** Calls `resume` once enough descriptors are free. Does nothing if it waits already. */
  wait(resume: () => void): void {
    if (this.#timer !== undefined) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      if (openFiles() < this.#limit) resume()
      else this.wait(resume)
    }, RETRY)
    this.#timer.unref()
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }
}

/** Returns the number of open descriptors; infinite if none is free to read the directory with. */
function openFiles(): number {
  try {
    return readdirSync('/proc/self/fd').length
  } catch {
    return Number.POSITIVE_INFINITY
  }
}

/** Returns the soft limit RLIMIT_NOFILE; infinite if it is unknown. */
export function openFilesLimit(): number {
  try {
    return softLimit('Max open files')
  } catch {
    return Number.POSITIVE_INFINITY
  }
}
