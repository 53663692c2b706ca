import { environment } from '../native/environment.js'
import type { Details } from './messages.js'

/** A connection that no worker has yet. The dispatcher owns its descriptor. */
export interface Pending {
  readonly fd: number
  readonly isTcp: boolean
  /** The bytes that were read from it, and travel with it. */
  readonly head: Buffer | undefined
  readonly meta: unknown
  /** The first bytes that are still in its socket, if the dispatcher peeks. */
  peeked: Buffer | undefined
}

/** Makes a TCP connection that was just accepted. */
export function acceptedConnection(fd: number): Pending {
  return { fd, isTcp: true, head: undefined, meta: undefined, peeked: undefined }
}

/** Closes a connection that no worker gets. */
export function closePending({ fd }: Pending): void {
  environment.closeConnection(fd)
}

/** Returns the known first bytes: those that travel with the connection, then the others. */
export function firstBytes({ head, peeked }: Pending): Buffer {
  if (head === undefined) return peeked ?? NO_BYTES
  return peeked === undefined ? head : Buffer.concat([head, peeked])
}

/** Returns what a worker gets besides the descriptor. */
export function detailsOf({ head, meta }: Pending): Details | null {
  if (head === undefined && meta === undefined) return null
  return {
    ...(head !== undefined && { head: head.toString('base64') }),
    ...(meta !== undefined && { meta }),
  }
}

/** Returns about how many bytes a connection adds to a message. */
export function weightOf({ head, meta }: Pending): number {
  const headLength = head === undefined ? 0 : Math.ceil(head.length / 3) * 4
  return headLength + (meta === undefined ? 0 : JSON.stringify(meta).length)
}

const NO_BYTES = Buffer.alloc(0)
