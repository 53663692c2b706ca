import type { Address, TcpAddress } from './address.js'

import type { EncodingOf, OwnOptionOf, Protocol, TypeOf } from './protocols.js'

/** What a codec is made with. */
interface FramingOptions<P extends Protocol, E extends EncodingOf<P>> {
  /** What a message is (the protocol's first). */
  encoding?: E | undefined
  /** The largest message that is received (bytes, 16 MiB). */
  maxMessage?: number | undefined
  /** uds_comms: whether to decode what the original decodes, and not only what it encodes (false). */
  lenient?: OwnOptionOf<P, 'lenient', boolean>
  /** stockings: whether an empty message is sent (false); the original sends nothing then. */
  allowEmpty?: OwnOptionOf<P, 'allowEmpty', boolean>
  /** lines: whether what stands behind the last delimiter is a message too (false). */
  finalLine?: OwnOptionOf<P, 'finalLine', boolean>
}

/** Options of `Codec`. */
export interface CodecOptions<
  P extends Protocol = Protocol,
  E extends EncodingOf<P> = EncodingOf<P>,
> extends FramingOptions<P, E> {
  /**
   * Called with what could not be decoded, and how many messages of the same chunk stand before it;
   * the messages behind it follow.
   */
  onMalformed?: ((error: Error, before: number) => void) | undefined
}

/** Options of `over`. */
export interface OverOptions<P extends Protocol = Protocol, E extends EncodingOf<P> = EncodingOf<P>>
  extends FramingOptions<P, E> {
  /** The framing. Required. */
  protocol: P
  /** Unsent bytes of a stream at which `send` returns false (64 KiB); packets do once one is queued. */
  highWaterMark?: number | undefined
  /** The most that is queued, of datagrams for one destination (bytes, 32 MiB). */
  maxQueued?: number | undefined
  /** Whether the channel stays open for sending at the peer's end (false); not for datagrams. */
  allowHalfOpen?: boolean | undefined
  /** Whether a listener's rejected promise destroys the channel (false), as for any EventEmitter. */
  captureRejections?: boolean | undefined
}

/** What every function that makes a channel over a socket takes; all that `pair` takes. */
export interface ChannelOptions<
  P extends Protocol = Protocol,
  E extends EncodingOf<P> = EncodingOf<P>,
> extends OverOptions<P, E> {
  /** The socket's type (the protocol's first). */
  type?: TypeOf<P> | undefined
  /** jsoncomm: whether what is too large for one record goes in a memfd (false, on seqpacket true). */
  memfd?: OwnOptionOf<P, 'memfd', boolean>
  /** The most descriptors of one message, either way (253 for jsoncomm, else 0); 0 over TCP. */
  maxFds?: number | undefined
  /** Received descriptors that nobody has taken or closed, at which reading stops (256). */
  maxOpenFds?: number | undefined
  /** The most descriptors that are queued, of datagrams for one destination (1,024). */
  maxQueuedFds?: number | undefined
  /** How long a datagram may be queued (ms, 30,000; 0: for ever), before it is `'undelivered'`. */
  sendTimeout?: number | undefined
  /** Whether to send datagrams to relative paths that came as a sender's name (false). */
  allowRelative?: boolean | undefined
  /** Whether each datagram tells who sent it, by the kernel's word (false). */
  credentials?: boolean | undefined
}

/** What takes time can be bounded and given up. */
export interface WaitOptions {
  /** Time limit (ms, 0: none). */
  timeout?: number | undefined
  /** Gives up when it is aborted. */
  signal?: AbortSignal | undefined
}

/** What becomes of a path that a socket is bound to. `timeout` (10,000) is for its directory's lock. */
interface PathOptions extends WaitOptions {
  /** The permissions of the path, whatever the umask (0o600). */
  mode?: number | undefined
  /**
   * What happens to a socket that is at the path already: `'stale'` (default) removes it if nobody
   * has it open, `'always'` removes it, `false` leaves it.
   */
  unlink?: Unlink | undefined
}

/** What happens to a socket that is at a path already. */
export type Unlink = 'stale' | 'always' | false

/** What is of connections over TCP. */
interface TcpOptions {
  /** Whether small messages are sent at once, without Nagle's algorithm (true). */
  noDelay?: boolean | undefined
  /**
   * Whether an idle connection is probed (false); a number is how long it is idle before the first
   * probe (ms, rounded up to seconds), true leaves that to the kernel.
   */
  keepAlive?: boolean | number | undefined
}

/** Options of `adopt`. */
export interface AdoptOptions<
  P extends Protocol = Protocol,
  E extends EncodingOf<P> = EncodingOf<P>,
> extends ChannelOptions<P, E>,
    TcpOptions {
  /** Bytes that were read from the stream already: the beginning of its input. */
  head?: ArrayBufferView | undefined
}

/** Options of `bind`. */
export interface BindOptions<P extends Protocol = Protocol, E extends EncodingOf<P> = EncodingOf<P>>
  extends ChannelOptions<P, E>,
    PathOptions {}

/**
 * Options of `connect`; those for a path are for `localAddress`, where that is one.
 *
 * `timeout` (10,000) is for finding and connecting as well.
 */
export interface ConnectOptions<
  P extends Protocol = Protocol,
  E extends EncodingOf<P> = EncodingOf<P>,
> extends ChannelOptions<P, E>,
    PathOptions,
    TcpOptions {
  /** The own name: an address, null for none (dgram: the kernel's choice; else none); not for TCP. */
  localAddress?: Address | null | undefined
}

/** Options of `listen`; its channels get those of a channel. */
export interface ListenOptions<
  P extends Protocol = Protocol,
  E extends EncodingOf<P> = EncodingOf<P>,
> extends ChannelOptions<P, E>,
    PathOptions,
    TcpOptions {
  /** Connections that the kernel keeps until they are accepted (511, at most net.core.somaxconn). */
  backlog?: number | undefined
  /** Open channels of this listener at which it stops accepting (10,000); the backlog keeps the rest. */
  maxConnections?: number | undefined
  /** Whether other sockets may listen on the same port, the kernel sharing connections out (false). */
  reusePort?: boolean | undefined
  /** Decides who may connect (everybody who can): only `true` lets a peer in. */
  allowPeer?: AllowPeer | undefined
}

/** Decides about a peer; whatever isn't `true`, a promise for instance, is no. */
export type AllowPeer = (peer: Peer) => boolean

/** Who is at the other end: what the kernel says of a process, or the address of a TCP socket. */
export type Peer = (PeerProcess & Without<TcpAddress>) | (TcpAddress & Without<PeerProcess>)

/** The process at the other end, as the kernel saw it when it made its socket. */
export interface PeerProcess extends Credentials {
  /**
   * A descriptor of the process (a pidfd), lent: the channel opens it when this is first looked at, and
   * closes it when it closes. Undefined where the kernel gives none.
   *
   * It never means another process, as a pid does once that is given out again.
   */
  readonly pidfd: number | undefined
}

/** What lets the members of a union be asked for that only the other ones have. */
type Without<T> = { readonly [K in keyof T]?: undefined }

/** A process, by the kernel's word: who sent a message, or made the socket at the other end. */
export interface Credentials {
  /** Its process id; 0 where it has none in our pid name space. */
  readonly pid: number
  /** Its user id. */
  readonly uid: number
  /** Its group id. */
  readonly gid: number
}
