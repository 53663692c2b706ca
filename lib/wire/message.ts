import type { FdSet } from '../fds/fdset.js'
import type { Credentials } from '../options/types.js'
import type { FdwireError } from '../util/errors.js'

/**
 * A sender's address: a Buffer where it is not UTF-8, null where the sender has no name, undefined
 * on a connected channel.
 *
 * It is not authenticated: any process that may bind a name can use it.
 */
export type From = string | Buffer | null | undefined

/** A message as `receive()` returns it. */
export interface Message<V = unknown> {
  /** The decoded value. */
  value: V
  /** Its descriptors. They belong to the receiver: take or close them. */
  fds: FdSet
  /** The sender's address. */
  from: From
  /** The process that sent it, at the time of sending: only with the option `credentials`. */
  credentials?: Credentials
}

/** A message that could not be delivered. Its descriptors are closed. */
export interface Malformed {
  error: FdwireError
  from: From
}

/** What the reader makes of one message of the peer. */
export type Incoming = Message | Malformed

/** Whether a message can be delivered. */
export function isMessage(incoming: Incoming): incoming is Message {
  return 'value' in incoming
}
