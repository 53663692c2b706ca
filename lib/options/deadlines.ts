/** Deadlines of connections, which protect against peers that hold one without using it. */

import { CHANNELS, CONNECTIONS, integer, type OptionTable, STREAM } from './option.js'

/** Options of every function that makes channels; not for datagrams. */
export interface DeadlineOptions {
  /**
   * How long a connection may be idle, without a byte sent or received, before the channel is
   * destroyed with ERR_FDWIRE_IDLE_TIMEOUT (ms, 0: no limit).
   *
   * The clock stops while a handler of `serve` runs. It also stops while the channel does not read
   * (it is paused, has no consumer, or has reached `maxOpenFds`), unless its queue waits for a peer
   * that does not read either.
   */
  idleTimeout?: number | undefined
  /**
   * How long a message of a stream may take from its first byte to its last before the channel is
   * destroyed with ERR_FDWIRE_MESSAGE_TIMEOUT (ms, 0: no limit). The clock stops while the
   * channel does not read, or a handler of `serve` runs.
   */
  messageTimeout?: number | undefined
}

export const DEADLINES = {
  idleTimeout: { of: CHANNELS, types: CONNECTIONS, default: 0, check: integer(0) },
  messageTimeout: { of: CHANNELS, types: STREAM, default: 0, check: integer(0) },
} as const satisfies OptionTable<DeadlineOptions>
