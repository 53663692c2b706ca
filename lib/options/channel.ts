/** Options of every channel: its queue and its end. */

import { boolean, CHANNELS, CONNECTIONS, integer, type OptionTable } from './option.js'

/** Options of every function that makes channels. */
export interface CommonOptions {
  /** Unsent bytes of a stream at which `send` returns false (64 KiB); packets do once one is queued. */
  highWaterMark?: number | undefined
  /** The largest queue, for datagrams that of one destination (bytes, 32 MiB). */
  maxQueued?: number | undefined
  /** Whether the channel stays open for sending after the peer's end (false); not for datagrams. */
  allowHalfOpen?: boolean | undefined
  /** Whether the rejected promise of an async listener destroys the channel (false). */
  captureRejections?: boolean | undefined
}

const MIB = 1024 * 1024

export const CHANNEL = {
  highWaterMark: { of: CHANNELS, default: 65_536, check: integer(0) },
  maxQueued: { of: CHANNELS, default: 32 * MIB, check: integer(0) },
  allowHalfOpen: { of: CHANNELS, types: CONNECTIONS, default: false, check: boolean },
  captureRejections: { of: CHANNELS, default: false, check: boolean },
} as const satisfies OptionTable<CommonOptions>
