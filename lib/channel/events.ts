import type { FdSet } from '../fds/fdset.js'
import type { Address } from '../options/address.js'
import type { WaitOptions } from '../options/check.js'
import type { Credentials } from '../options/types.js'
import type { FdwireError } from '../util/errors.js'
import type { From } from '../wire/message.js'
import type { SendOptions } from './sender.js'

/** The events of a channel and their arguments. */
export interface ChannelEvents<V> {
  /** A message. `credentials` is passed only with the option of that name. */
  message: [value: V, fds: FdSet, from: From, credentials?: Credentials]
  /** A message that could not be delivered. Its descriptors are closed. */
  malformed: [error: FdwireError, from: From]
  /** A queued message that the kernel refused, or that waited longer than `sendTimeout`. */
  undelivered: [error: Error, details: { to: Address | undefined }]
  /** The queue of a destination is empty again after `send` returned false; `to` as in `send`. */
  drain: [to: Address | undefined]
  /** The peer has ended, and all its messages were delivered. Not on datagram sockets. */
  end: []
  /** The channel has failed. It closes by itself. */
  error: [error: Error]
  /** The last event, emitted once. */
  close: []
}

/** Options of `request`. */
export interface RequestOptions extends SendOptions, WaitOptions {}
