import type { TcpAddress } from './address.js'

/** The peer of a channel: a process on this machine, or the address of a TCP socket. */
export type Peer = (PeerProcess & Without<TcpAddress>) | (TcpAddress & Without<PeerProcess>)

/** The process at the other end, with the credentials that it had when it made its socket. */
export interface PeerProcess extends Credentials {
  /**
   * A descriptor of the process (a pidfd), lent: the channel opens it when this property is first
   * read, and closes it when the channel closes. Undefined where the kernel provides none.
   *
   * A pid can be reused by another process; a pidfd always refers to the same one.
   */
  readonly pidfd: number | undefined
}

/** The credentials of a process that sent a message or made a socket. The kernel vouches for them. */
export interface Credentials {
  /** Its process id; 0 if it has none in our pid namespace. */
  readonly pid: number
  /** Its user id. */
  readonly uid: number
  /** Its group id. */
  readonly gid: number
}

/** Lets a program read the properties of the union's other members: they are undefined. */
type Without<T> = { readonly [K in keyof T]?: undefined }
