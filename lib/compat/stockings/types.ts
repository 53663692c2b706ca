import type { AdoptOptions } from '../../options/check.js'
import type { FdwireError } from '../../util/errors.js'

/** Options of a `Stocking`. */
interface OwnOptions {
  /** How long the handshake may take (ms, 10,000; 0: no limit). */
  handshakeTimeout?: number | undefined
  /** Unread messages at which no more is taken from the socket (bytes, 1 MiB; 64 more for each). */
  maxUnread?: number | undefined
}

/** Options of a `Stocking` over a socket; over a channel, which has its own, only the first two. */
export interface StockingOptions extends OwnOptions, Omit<AdoptOptions<'stockings'>, 'protocol'> {}

/** The events of a `Stocking`, with their arguments. */
export interface StockingEvents {
  /** The handshake is complete; what it returned. */
  ready: [result: unknown]
  /** There is something to read. It comes again as long as a listener reads and leaves something. */
  readable: []
  /** What was queued is sent, after `write` gave false. */
  drain: []
  /** A text that is not UTF-8, which was skipped. */
  malformed: [error: FdwireError]
  /** The peer has closed, and all it sent was read. */
  end: []
  /** The connection or the handshake has failed. Without a listener `read()` and `ready` tell. */
  error: [error: Error]
  /** The last event, once. */
  close: []
}
