/** Options of datagram sockets. */

import { boolean, DGRAM, integer, type OptionContext, type OptionTable, SOCKETS } from './option.js'

/** Options of channels over datagram sockets. */
export interface DatagramOptions {
  /**
   * How long a datagram may wait in the queue before it is dropped and `'undelivered'` is emitted (ms,
   * 30,000; 0: no limit).
   */
  sendTimeout?: number | undefined
  /**
   * The size of the queues of all destinations together (bytes, 64 MiB). At the limit, the longest
   * queue loses its oldest messages. A queued message counts as 128 bytes more than its length.
   */
  maxQueuedTotal?: number | undefined
  /** Whether to send to a relative path that arrived as a sender's address (false). */
  allowRelative?: boolean | undefined
  /**
   * Whether each datagram comes with its sender's credentials, which the kernel supplies (false).
   */
  credentials?: boolean | undefined
}

export const DATAGRAM = {
  sendTimeout: {
    of: SOCKETS,
    types: DGRAM,
    // Messages of a connection do not expire.
    default: ({ type }: OptionContext): number => (type === 'dgram' ? 30_000 : 0),
    check: integer(0),
  },
  maxQueuedTotal: {
    of: SOCKETS,
    types: DGRAM,
    default: ({ type }: OptionContext): number => (type === 'dgram' ? 64 * 1024 * 1024 : 0),
    check: integer(1),
  },
  allowRelative: { of: SOCKETS, types: DGRAM, default: false, check: boolean },
  credentials: { of: SOCKETS, types: DGRAM, default: false, check: boolean },
} as const satisfies OptionTable<DatagramOptions>
