import type { FdSet } from '../fds/fdset.js'
import type { Credentials } from '../options/types.js'
import type { FdwireError } from '../util/errors.js'

/**
 * Where a message came from: the sender's name, a Buffer where that is not UTF-8, null where it has
 * none, undefined on a connected channel.
 *
 * It is a claim and no identity: whoever may bind a name can have it.
 */
export type From = string | Buffer | null | undefined

/** A message as `receive()` gives it. */
export interface Message<V = unknown> {
  /** What was sent. */
  value: V
  /** Its descriptors, yours to take or close. */
  fds: FdSet
  /** Who sent it. */
  from: From
  /** Which process sent it, when it did: only with the option `credentials`. */
  credentials?: Credentials
}

/** What a turn brings, in its order: a message, or why one could not be delivered. */
export type Item = Message | Malformed

/** A message that could not be delivered; its descriptors are closed. */
export interface Malformed {
  error: FdwireError
  from: From
}

/** Whether a message can be delivered. */
export function isMessage(item: Item): item is Message {
  return 'value' in item
}
