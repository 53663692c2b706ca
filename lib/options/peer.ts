import type { TcpAddress } from './address.js'

/** The peer of a channel: a process on this machine, or the address of a TCP socket. */
export type Peer = (PeerProcess & Without<TcpAddress>) | (TcpAddress & Without<PeerProcess>)

/** The process at the other end, with the credentials that it had when it created its socket. */
export interface PeerProcess extends Credentials {
  /**
   * A descriptor of the process (a pidfd); undefined if the kernel provides none. The channel owns
   * it: it opens it when this property is first read, and closes it when the channel closes.
   *
   * Unlike a pid, which another process can get later, a pidfd always refers to the same process.
   */
  readonly pidfd: number | undefined
}

/** The credentials of a process that sent a message or created a socket, verified by the kernel. */
export interface Credentials {
  /** Its process id; 0 if it has none in our pid namespace. */
  readonly pid: number
  /** Its user id. */
  readonly uid: number
  /** Its group id. */
  readonly gid: number
}

/**
 * Declares the properties of the union's other member as undefined, so that programs can read them.
 */
type Without<T> = { readonly [K in keyof T]?: undefined }
