import type { SocketAddress } from '#native'
import { environment } from '../native/environment.js'

/**
 * A connection for which `pick` chooses the worker.
 *
 * Its addresses are read from the kernel when they are first used. After `pick` has returned, the
 * descriptor may belong to another connection.
 */
export class Connection {
  /** The descriptor. It belongs to the dispatcher. */
  readonly fd: number
  /** The value that `dispatch` was given as `meta`. */
  readonly meta: unknown
  #peer: SocketAddress | null | undefined
  #local: SocketAddress | null | undefined

  /** Describes a connection. A dispatcher makes it. */
  constructor(fd: number, meta: unknown) {
    this.fd = fd
    this.meta = meta
  }

  /** The IP address of the peer; undefined for a Unix socket or a disconnected peer. */
  get remoteAddress(): string | undefined {
    this.#peer ??= environment.peerOfFd(this.fd)
    return this.#peer?.host ?? undefined
  }

  /** The port of the peer; undefined for a Unix socket or a disconnected peer. */
  get remotePort(): number | undefined {
    this.#peer ??= environment.peerOfFd(this.fd)
    return this.#peer?.port ?? undefined
  }

  /** The family of the peer's address; undefined for a Unix socket or a disconnected peer. */
  get remoteFamily(): 'IPv4' | 'IPv6' | undefined {
    return familyOf(this.remoteAddress)
  }

  /** The IP address at which the connection has arrived; undefined for a Unix socket. */
  get localAddress(): string | undefined {
    this.#local ??= environment.addressOfFd(this.fd)
    return this.#local?.host ?? undefined
  }

  /** The port at which the connection has arrived; undefined for a Unix socket. */
  get localPort(): number | undefined {
    this.#local ??= environment.addressOfFd(this.fd)
    return this.#local?.port ?? undefined
  }
}

/** Returns the family of an IP address. */
export function familyOf(address: string | undefined): 'IPv4' | 'IPv6' | undefined {
  if (address === undefined) return undefined
  return address.includes(':') ? 'IPv6' : 'IPv4'
}
