/** Options of every channel: for its send queue, its end and its listeners. */

import { boolean, CHANNELS, CONNECTIONS, integer, type OptionTable } from './option.js'

/** Options of every function that makes channels. */
export interface CommonOptions {
  /**
   * How much of a stream may be unsent before `send` returns false (bytes, 64 KiB). On dgram and
   * seqpacket it returns false as soon as a message is queued.
   */
  highWaterMark?: number | undefined
  /**
   * The size of the queue; for datagrams, of the queue of each destination (bytes, 32 MiB). Beyond
   * it, `send` throws ERR_FDWIRE_QUEUE_FULL. A queued datagram or record counts as 128 bytes more
   * than its length.
   */
  maxQueued?: number | undefined
  /** Whether messages can still be sent after the peer has ended (false); not for datagrams. */
  allowHalfOpen?: boolean | undefined
  /** Whether the channel is destroyed when the promise of an async listener rejects (false). */
  captureRejections?: boolean | undefined
  /**
   * How long the reply to an abandoned `request` may still take (ms, 30,000; 0: no limit). Then the
   * channel fails with ERR_FDWIRE_REPLY_LOST, because later replies cannot be matched. Not for
   * datagrams.
   */
  replyTimeout?: number | undefined
}

const MIB = 1024 * 1024

export const CHANNEL = {
  highWaterMark: { of: CHANNELS, default: 65_536, check: integer(0) },
  maxQueued: { of: CHANNELS, default: 32 * MIB, check: integer(0) },
  allowHalfOpen: { of: CHANNELS, types: CONNECTIONS, default: false, check: boolean },
  captureRejections: { of: CHANNELS, default: false, check: boolean },
  replyTimeout: { of: CHANNELS, types: CONNECTIONS, default: 30_000, check: integer(0) },
} as const satisfies OptionTable<CommonOptions>
