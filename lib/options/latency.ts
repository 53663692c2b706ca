/** The option that trades processor time for latency. */

import { integer, type OptionTable, SOCKETS } from './option.js'

/** The option of functions that create or accept a socket. */
export interface LatencyOptions {
  /**
   * How long to poll for the next message instead of sleeping until it arrives (µs, 0: not at all; at
   * most 1,000).
   *
   * The thread polls after it has handled input, and after a flush while a `request` or `receive`
   * waits. It uses its processor fully meanwhile, but yields it to other threads between two polls.
   * Everything else in the thread keeps running. While the peer answers more slowly, the channel
   * polls for at most one message in 64.
   */
  busyPoll?: number | undefined
}

export const LATENCY = {
  busyPoll: { of: SOCKETS, default: 0, check: integer(0, 1_000) },
} as const satisfies OptionTable<LatencyOptions>
