import { MAX_U31 } from '../util/checks.js'
import { clearTimeout, setTimeout } from '../util/timers.js'
import { parseNumber } from './environment.js'
import { notify } from './notify.js'

/** Tells the service manager that the service is alive, in intervals. */
export interface Watchdog {
  /** The time between two notifications (ms): half of what the service manager allows. */
  readonly interval: number
  /** Notifies the service manager now and in intervals. Does not keep the process alive. */
  start(): void
  /** Stops notifying. The service manager ends the service when its time is over. */
  stop(): void
}

/**
 * Returns the watchdog that the service manager has asked for; null if it has not.
 *
 * It has if WATCHDOG_USEC is set, and WATCHDOG_PID is not set or is this process.
 *
 * # Errors
 * RangeError for values that are not numbers.
 */
export function watchdog(): Watchdog | null {
  const allowed = parseNumber('WATCHDOG_USEC')
  const pid = parseNumber('WATCHDOG_PID') ?? process.pid
  if (!allowed || pid !== process.pid) return null
  // A longer timer would expire at once.
  const interval = Math.min(Math.max(1, Math.floor(allowed / 2_000)), MAX_U31)
  let timer: NodeJS.Timeout | undefined
  const beat = () => {
    timer = setTimeout(beat, interval)
    timer.unref()
    notify('WATCHDOG=1').catch(warn)
  }
  return {
    interval,
    start() {
      if (timer === undefined) beat()
    },
    stop() {
      clearTimeout(timer)
      timer = undefined
    },
  }
}

let hasWarned = false

/** Warns once: a later notification may succeed. */
function warn({ message }: Error): void {
  if (hasWarned) return
  hasWarned = true
  process.emitWarning(`The service manager was not notified: ${message}`, {
    type: 'FdwireWarning',
    code: 'FDWIRE_WATCHDOG',
    detail: 'The watchdog tries again at its next interval.',
  })
}
