import type { FdSource } from '../../fds/borrow.js'
import type { FdSet } from '../../fds/fdset.js'
import type { Address } from '../../options/address.js'
import {
  type ChannelOptions,
  type ConnectOptions,
  checkFixedOptions,
  type ListenOptions,
} from '../../options/check.js'
import { NO_OPTIONS } from '../../util/no-options.js'

/** Options that a `Socket` sets itself, and options of TCP. */
type Fixed = 'protocol' | 'encoding' | 'noDelay' | 'keepAlive' | 'reusePort'

/** Options of `Socket.newPair`: those of fdwire's `pair`. */
export interface PairOptions extends Omit<ChannelOptions<'jsoncomm'>, Fixed> {}

/** Options of `Socket.newClient`: those of `connect`, or of `bind` if no path is given. */
export interface ClientOptions extends Omit<ConnectOptions<'jsoncomm'>, Fixed> {}

/** Options of `Socket.newServer`: those of `bind`, or of `listen` if `type` is `'seqpacket'`. */
export interface ServerOptions extends Omit<ListenOptions<'jsoncomm'>, Fixed> {}

/** Options of `Socket.newFromFd`: those of fdwire's `adopt` except `type`, and `closeFd`. */
export interface FromFdOptions extends Omit<PairOptions, 'type'> {
  /** Whether the socket owns the descriptor (true); if not, it owns a duplicate. */
  closeFd?: boolean | undefined
}

/** The result of `recv`. */
export interface Received {
  /** The decoded value. */
  // biome-ignore lint/suspicious/noExplicitAny: the type of JSON.parse
  payload: any
  /** Its descriptors. The caller owns them. */
  fds: FdSet
  /** The sender's address, which `send` takes as `destination`; null if the sender has none. */
  address: string | Buffer | null
}

/** Options of `send`. */
export interface SendOptions {
  /** The destination, for a datagram socket that is not connected. */
  destination?: Address | undefined
  /** Descriptors to send with the payload. They are borrowed: the caller still owns them. */
  fds?: FdSet | Iterable<FdSource> | undefined
}

/**
 * Adds the protocol to the options of `call`. `fixed` maps further options that the call sets
 * itself to the reason.
 *
 * # Errors
 * TypeError for options that a `Socket` sets itself.
 */
export function withProtocol<O extends object>(
  call: string,
  options: O,
  fixed: Readonly<Record<string, string>> = NO_OPTIONS,
) {
  checkFixedOptions(call, options, {
    protocol: 'it is jsoncomm',
    encoding: 'messages are JSON',
    ...fixed,
  })
  return { ...options, protocol: 'jsoncomm' } as const
}
