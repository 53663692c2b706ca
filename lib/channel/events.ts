import type { FdSet } from '../fds/fdset.js'
import type { Address } from '../options/address.js'
import type { WaitOptions } from '../options/check.js'
import type { Credentials } from '../options/types.js'
import type { FdwireError } from '../util/errors.js'
import type { From } from '../wire/message.js'
import type { SendOptions } from './sender.js'

/** The events of a channel, with their arguments. */
export interface ChannelEvents<V> {
  /** A message; `credentials` only with the option of that name. */
  message: [value: V, fds: FdSet, from: From, credentials?: Credentials]
  /** A message that could not be delivered; its descriptors are closed. */
  malformed: [error: FdwireError, from: From]
  /** A queued message that was given up: the kernel refused it, or `sendTimeout` was up. */
  undelivered: [error: Error, details: { to: Address | undefined }]
  /** The queue of a destination is empty again after `send` gave false; `to` as in `send`. */
  drain: [to: Address | undefined]
  /** The peer has ended and everything it sent was delivered: streams and seqpacket only. */
  end: []
  /** The channel can't go on; it closes by itself. */
  error: [error: Error]
  /** The last event, once. */
  close: []
}

/** Options of `request`. */
export interface RequestOptions extends SendOptions, WaitOptions {}
