import type { FdSource } from '../../fds/borrow.js'
import type { FdSet } from '../../fds/fdset.js'
import type { Address } from '../../options/address.js'
import {
  type ChannelOptions,
  type ConnectOptions,
  checkIsObject,
  type ListenOptions,
} from '../../options/check.js'

/** What a `Socket` decides itself, and what is of TCP. */
type Decided = 'protocol' | 'encoding' | 'noDelay' | 'keepAlive' | 'reusePort'

/** Options of `Socket.newPair`: those of the package's `pair`. */
export interface PairOptions extends Omit<ChannelOptions<'jsoncomm'>, Decided> {}

/** Options of `Socket.newClient`: those of `connect`, or of `bind` where no path is given. */
export interface ClientOptions extends Omit<ConnectOptions<'jsoncomm'>, Decided> {}

/** Options of `Socket.newServer`: those of `bind`, or of `listen` where `type` is `'seqpacket'`. */
export interface ServerOptions extends Omit<ListenOptions<'jsoncomm'>, Decided> {}

/** Options of `Socket.newFromFd`: those of the package's `adopt`, but the type is the socket's. */
export interface FromFdOptions extends Omit<PairOptions, 'type'> {
  /** Whether the descriptor is the socket's from then on (true); false: it gets a duplicate. */
  closeFd?: boolean | undefined
}

/** What `recv` gives. */
export interface Received {
  /** What was sent. */
  // biome-ignore lint/suspicious/noExplicitAny: what JSON.parse gives is any, and here too
  payload: any
  /** Its descriptors, yours to steal or close. */
  fds: FdSet
  /** The sender's name, which `send` takes as `destination`; null where it has none. */
  address: string | Buffer | null
}

/** What goes with a payload. */
export interface SendOptions {
  /** Where to, on a datagram socket that is not connected. */
  destination?: Address | undefined
  /** Descriptors to send along; they stay the caller's. */
  fds?: FdSet | Iterable<FdSource> | undefined
}

/** The options with what a `Socket` decides itself. */
export function withProtocol<O extends object>(call: string, options: O) {
  checkIsObject(call, options)
  for (const name of ['protocol', 'encoding']) {
    if ((options as Record<string, unknown>)[name] === undefined) continue
    throw new TypeError(`${call} has no option ${name}: messages are JSON, of jsoncomm`)
  }
  return { ...options, protocol: 'jsoncomm' } as const
}
