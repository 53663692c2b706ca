/** The option types of the public functions, composed of the groups that declare the options. */

import type { AdoptedOptions } from './adopted.js'
import type { CommonOptions } from './channel.js'
import type { DatagramOptions } from './datagram.js'
import type { DescriptorOptions } from './descriptors.js'
import type { DecoderOptions, FramingOptions } from './framing.js'
import type { LatencyOptions } from './latency.js'
import type { ListenerOptions } from './listener.js'
import type { LocalAddressOptions, PathOptions } from './path.js'
import type { EncodingOf, Protocol } from './protocols.js'
import type { TcpOptions } from './tcp.js'
import type { ProtocolOptions, SocketTypeOptions } from './transport.js'
import type { WaitOptions } from './wait.js'

export type { AllowPeer } from './listener.js'
export type { Unlink } from './path.js'
export type { Credentials, Peer, PeerProcess } from './peer.js'
export type { WaitOptions } from './wait.js'

/** Options of `Codec`. */
export interface CodecOptions<
  P extends Protocol = Protocol,
  E extends EncodingOf<P> = EncodingOf<P>,
> extends FramingOptions<P, E>,
    DecoderOptions {}

/** Options of `over`. */
export interface OverOptions<P extends Protocol = Protocol, E extends EncodingOf<P> = EncodingOf<P>>
  extends ProtocolOptions<P>,
    FramingOptions<P, E>,
    CommonOptions {}

/** Options of every function that makes a channel over a socket. `pair` has only these. */
export interface ChannelOptions<
  P extends Protocol = Protocol,
  E extends EncodingOf<P> = EncodingOf<P>,
> extends OverOptions<P, E>,
    SocketTypeOptions<P>,
    LatencyOptions,
    DescriptorOptions<P>,
    DatagramOptions {}

/** Options of `adopt`. */
export interface AdoptOptions<
  P extends Protocol = Protocol,
  E extends EncodingOf<P> = EncodingOf<P>,
> extends ChannelOptions<P, E>,
    TcpOptions,
    AdoptedOptions {}

/**
 * Options of `bind`; `timeout` (ms, 10,000) limits the wait for the lock on the path's directory.
 */
export interface BindOptions<P extends Protocol = Protocol, E extends EncodingOf<P> = EncodingOf<P>>
  extends ChannelOptions<P, E>,
    PathOptions,
    WaitOptions {}

/**
 * Options of `connect`. `mode` and `unlink` apply to `localAddress` if that is a path.
 *
 * `timeout` (ms, 10,000) limits the whole operation, name resolution included.
 */
export interface ConnectOptions<
  P extends Protocol = Protocol,
  E extends EncodingOf<P> = EncodingOf<P>,
> extends ChannelOptions<P, E>,
    PathOptions,
    LocalAddressOptions,
    WaitOptions,
    TcpOptions {}

/**
 * Options of `listen`. Those of a channel apply to the channels of the listener.
 *
 * `timeout` (ms, 10,000) limits the wait for the lock on the path's directory.
 */
export interface ListenOptions<
  P extends Protocol = Protocol,
  E extends EncodingOf<P> = EncodingOf<P>,
> extends ChannelOptions<P, E>,
    PathOptions,
    WaitOptions,
    TcpOptions,
    ListenerOptions {}
