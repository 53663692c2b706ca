/** The option of a connection that comes back. */

import { checkInteger, checkIsObject, checkNames, checkOneOf, only } from '../util/checks.js'
import type { OptionTable } from './option.js'

/** How a channel reconnects. */
export interface Reconnect {
  /** The delay before the first attempt (ms, 100). It doubles with each further one. */
  minDelay?: number | undefined
  /** The longest delay (ms, 10,000). */
  maxDelay?: number | undefined
  /** Failed attempts in a row after which the channel gives up (0: no limit). Infinity means the same. */
  maxAttempts?: number | undefined
  /**
   * What happens to messages while the connection is lost (`'keep'`): `'keep'` queues them for the
   * next connection, `'refuse'` drops those that are queued, and `send` throws
   * ERR_FDWIRE_PEER_CLOSED.
   */
  queue?: 'keep' | 'refuse' | undefined
}

/** The option of `connect`. */
export interface ReconnectOptions {
  /** Makes the channel connect again whenever its connection is lost (default: off, the channel ends). */
  reconnect?: Reconnect | undefined
}

/** The checked values of {@link Reconnect}. */
export interface CheckedReconnect {
  minDelay: number
  maxDelay: number
  /** 0: no limit. */
  maxAttempts: number
  keepsQueue: boolean
}

const NAMES = ['minDelay', 'maxDelay', 'maxAttempts', 'queue']
const QUEUE = ['keep', 'refuse'] as const
const MIN_DELAY = 100
const MAX_DELAY = 10_000

export const RECONNECT = {
  reconnect: { of: ['connect'], check: (_, value): CheckedReconnect => checkReconnect(value) },
} as const satisfies OptionTable<ReconnectOptions>

function checkReconnect(value: unknown): CheckedReconnect {
  checkIsObject('reconnect', value as object)
  const given = value as Reconnect
  checkNames('reconnect', given, only(NAMES))
  const { queue = 'keep', maxAttempts } = given
  const minDelay = checkInteger('minDelay', given.minDelay, MIN_DELAY, 1)
  const maxDelay = checkInteger('maxDelay', given.maxDelay, Math.max(MAX_DELAY, minDelay), minDelay)
  return {
    minDelay,
    maxDelay,
    maxAttempts:
      maxAttempts === Number.POSITIVE_INFINITY ? 0 : checkInteger('maxAttempts', maxAttempts, 0, 0),
    keepsQueue: checkOneOf('queue', queue, QUEUE) === 'keep',
  }
}
