/** Options of connections over TCP. */

import { checkInteger, describeValue } from '../util/checks.js'
import { boolean, type OptionTable, STREAM } from './option.js'

/** Options of functions that make, accept or adopt TCP connections. */
export interface TcpOptions {
  /** Whether small messages are sent at once, without Nagle's algorithm (true). */
  noDelay?: boolean | undefined
  /**
   * Whether TCP probes an idle connection (false). A number is the idle time before the first probe
   * (ms, rounded up to seconds); true leaves that time to the kernel.
   */
  keepAlive?: boolean | number | undefined
}

/** The longest TCP_KEEPIDLE that Linux accepts (s). */
const MAX_KEEP_ALIVE = 32_767

// A socket that is passed in may turn out to be a TCP socket.
const TCP_ONLY = {
  of: ['connect', 'listen', 'adopt'],
  types: STREAM,
  on: ['tcp', 'fd'],
} as const

export const TCP = {
  noDelay: { ...TCP_ONLY, default: true, check: boolean },
  keepAlive: { ...TCP_ONLY, default: false, check: checkKeepAlive },
} as const satisfies OptionTable<TcpOptions>

/** Returns the idle time before the first probe (s, 0: the kernel's default), or false. */
function checkKeepAlive(name: string, value: unknown): number | false {
  if (value === false) return false
  if (value === true) return 0
  if (typeof value !== 'number') {
    throw new TypeError(`${name} must be true, false or a number, not ${describeValue(value)}`)
  }
  return Math.ceil(checkInteger(name, value, 0, 1, MAX_KEEP_ALIVE * 1_000) / 1_000)
}
