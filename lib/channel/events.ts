import type { FdSource } from '../fds/borrow.js'
import type { FdSet } from '../fds/fdset.js'
import type { Address } from '../options/address.js'
import type { WaitOptions } from '../options/check.js'
import type { Credentials } from '../options/types.js'
import type { FdwireError } from '../util/errors.js'
import type { From, Message } from '../wire/message.js'

/** The events of a channel and their arguments. */
export interface ChannelEvents<V> {
  /** A message. `credentials` is passed only with the option of that name. */
  message: [value: V, fds: FdSet, from: From, credentials?: Credentials]
  /** A message that could not be delivered. Its descriptors are closed. */
  malformed: [error: FdwireError, from: From]
  /** A queued message that the kernel refused, or that waited longer than `sendTimeout`. */
  undelivered: [error: Error, details: { to: Address | undefined }]
  /**
   * After `send` returned false: the queue for `to` is empty again, or, on a stream, down to half
   * of `highWaterMark`.
   */
  drain: [to: Address | undefined]
  /**
   * With `reconnect`: the connection is lost, with the error that has ended it; undefined after an
   * orderly end.
   */
  disconnect: [error: Error | undefined]
  /** With `reconnect`: there is a new connection. */
  reconnect: []
  /** The peer has ended, and all its messages are delivered. Never emitted for datagram sockets. */
  end: []
  /** The channel has failed, and closes itself. */
  error: [error: Error]
  /** The last event, emitted once. */
  close: []
}

/** Options of `send`. */
export interface SendOptions {
  /** Descriptors to send with the message. They are borrowed: the caller may close them at once. */
  fds?: FdSet | Iterable<FdSource> | undefined
  /** The destination, on a channel that is not connected, such as that of `bind`. */
  to?: Address | undefined
  /**
   * Whether `to` may be a relative path that arrived as a sender's address (default: the channel's option).
   */
  allowRelative?: boolean | undefined
}

/**
 * Options of `request`: those of `send`, `timeout` (ms, 30,000 on a datagram socket, else 0; 0: no
 * limit) and `signal`.
 */
export interface RequestOptions<V = unknown> extends SendOptions, WaitOptions {
  /**
   * Decides whether a message is the reply. All others go to the ordinary consumers. Without it the
   * next message from the destination is the reply.
   */
  match?: ((message: Message<V>) => boolean) | undefined
}
