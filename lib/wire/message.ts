import type { FdSet } from '../fds/fdset.js'
import type { Credentials } from '../options/types.js'
import type { FdwireError } from '../util/errors.js'

/**
 * A sender's address: a Buffer if it is not valid UTF-8, null if the sender has none, undefined on
 * a connected channel.
 *
 * It is not authenticated: any process that can bind an address can use it.
 */
export type From = string | Buffer | null | undefined

/** A message as `receive()` returns it. */
export interface Message<V = unknown> {
  /** The decoded value. */
  value: V
  /** Its descriptors. The receiver owns them: take or close them. */
  fds: FdSet
  /** The sender's address. */
  from: From
  /** The sender's credentials at the time of sending. Only with the option `credentials`. */
  credentials?: Credentials
}

/** A message that could not be delivered. Its descriptors are closed. */
export interface Malformed {
  error: FdwireError
  from: From
}

/** A received message, or the error of one that cannot be delivered. */
export type Incoming = Message | Malformed

/** Whether a received message can be delivered. */
export function isMessage(incoming: Incoming): incoming is Message {
  return 'value' in incoming
}

/** Closes the descriptors of a message that is not delivered. */
export function closeFds(incoming: Incoming): void {
  if (isMessage(incoming)) incoming.fds.close()
}
