/** Options of listeners. */

import { checkFunction } from '../util/checks.js'
import { boolean, CONNECTIONS, integer, type OptionTable, STREAM } from './option.js'
import type { Peer } from './peer.js'

/** Options of `listen` alone. */
export interface ListenerOptions {
  /**
   * The most connections that wait in the kernel to be accepted (511; up to `net.core.somaxconn`).
   */
  backlog?: number | undefined
  /** Open channels at which the listener stops accepting (10,000). Others wait in the backlog. */
  maxConnections?: number | undefined
  /** Decides whether a peer may connect (default: every peer may). Return `true` to accept it. */
  allowPeer?: AllowPeer | undefined
  /**
   * Whether other sockets may listen on the same port; the kernel distributes connections (false).
   */
  reusePort?: boolean | undefined
}

/** Decides whether a peer may connect. Any value but `true`, a promise included, refuses it. */
export type AllowPeer = (peer: Peer) => boolean

const OF = ['listen'] as const

export const LISTENER = {
  backlog: { of: OF, types: CONNECTIONS, default: 511, check: integer(1) },
  maxConnections: { of: OF, types: CONNECTIONS, default: 10_000, check: integer(1) },
  allowPeer: { of: OF, types: CONNECTIONS, check: checkFunction<AllowPeer> },
  reusePort: { of: OF, types: STREAM, on: ['tcp'], default: false, check: boolean },
} as const satisfies OptionTable<ListenerOptions>
