import type { EventEmitter } from 'node:events'
import { totals } from '../native/counters.js'
import { addressText, diagnostics } from '../util/diagnostics.js'
import type { Listener } from './listener.js'

/** Why a connection was dropped. */
export interface Drop {
  /** The step at which it was dropped. */
  reason: 'allowPeer' | 'handshake'
  /** The exception that `allowPeer` has thrown, or the error of the handshake. */
  error?: unknown
}

/** The events of a listener and their arguments. */
export interface ListenerEvents<C> {
  /** A connection was accepted. */
  connection: [channel: C]
  /** A connection was closed before it was delivered. */
  drop: [details: Drop]
  /** The listener has failed, and closes. */
  error: [error: Error]
  /** The listener is closed. This is its last event. */
  close: []
}

/** A call that waits for a connection. */
export interface Waiter<C> {
  resolve(result: IteratorResult<C, undefined>): void
  reject(error: unknown): void
}

/** Reports a connection that was closed before it was delivered. */
export function reportDrop(listener: EventEmitter, drop: Drop): void {
  totals.dropped++
  if (diagnostics.drop.hasSubscribers) diagnostics.drop.publish({ listener, ...drop })
  listener.emit('drop', drop)
}

/** Reports that a listener has reached a limit. */
export function reportLimit(listener: EventEmitter, limit: string, error?: Error): void {
  if (diagnostics.limit.hasSubscribers) diagnostics.limit.publish({ listener, limit, error })
}

/** Returns what console.log shows of a listener. */
export function fieldsOf(
  { protocol, type, fd, address, closed, connections }: Listener,
  error: Error | undefined,
): Record<string, unknown> {
  return {
    protocol,
    type,
    state: closed ? 'closed' : 'listening',
    fd: closed ? undefined : fd,
    address: addressText(address),
    connections,
    error,
  }
}
