import type { AdoptOptions } from '../../options/check.js'
import type { FdwireError } from '../../util/errors.js'

/** A message: its header says whether it is text or bytes. */
export type Value = string | Buffer

/** Options of every `Stocking`. */
interface OwnOptions {
  /** How long the handshake may take (ms, 10,000; 0: no limit). */
  handshakeTimeout?: number | undefined
  /**
   * How much may be unread before reading from the socket pauses (bytes, 1 MiB). Each message counts
   * 64 bytes in addition to its own.
   */
  maxUnread?: number | undefined
}

/**
 * Options of a `Stocking`. Over a channel only `handshakeTimeout` and `maxUnread` are allowed,
 * since the channel has its own options.
 */
export interface StockingOptions extends OwnOptions, Omit<AdoptOptions<'stockings'>, 'protocol'> {}

/** The events of a `Stocking`, with their arguments. */
export interface StockingEvents {
  /** The handshake is complete. `result` is that of `handshake()`. */
  ready: [result: unknown]
  /** A message can be read. Emitted again if a listener reads some messages but not all. */
  readable: []
  /** The queue has been sent, after `write` returned false. */
  drain: []
  /** A text that is not UTF-8 was received and skipped. */
  malformed: [error: FdwireError]
  /** The peer has closed, and every message was read. */
  end: []
  /**
   * The connection or the handshake has failed. Not emitted, and not thrown, without a listener.
   */
  error: [error: Error]
  /** The last event; emitted once. */
  close: []
}
