/** The option types of the public functions, composed of the groups that declare the options. */

import type { AdoptedOptions } from './adopted.js'
import type { RecvBufferOptions, SendBufferOptions } from './buffers.js'
import type { CommonOptions } from './channel.js'
import type { DatagramOptions } from './datagram.js'
import type { DeadlineOptions } from './deadlines.js'
import type { DescriptorOptions } from './descriptors.js'
import type { DecoderOptions, FramingOptions } from './framing.js'
import type { LatencyOptions } from './latency.js'
import type { ListenerOptions } from './listener.js'
import type { LocalAddressOptions, PathOptions } from './path.js'
import type {
  DefaultEncodingOf,
  EncodingOf,
  JsonProtocol,
  NamedEncodingOf,
  Protocol,
  ProtocolOver,
} from './protocols.js'
import type { ReconnectOptions } from './reconnect.js'
import type { TcpOptions } from './tcp.js'
import type { ProtocolOptions, SocketTypeOptions } from './transport.js'
import type { WaitOptions } from './wait.js'

export type { AllowPeer } from './listener.js'
export type { Unlink } from './path.js'
export type { Credentials, Peer, PeerProcess } from './peer.js'
export type { Reconnect } from './reconnect.js'
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
    CommonOptions,
    DeadlineOptions {}

/** Options of every function that makes a channel over a socket. `pair` has only these. */
export interface ChannelOptions<
  P extends Protocol = Protocol,
  E extends EncodingOf<P> = EncodingOf<P>,
> extends OverOptions<P, E>,
    SocketTypeOptions<P>,
    LatencyOptions,
    SendBufferOptions,
    DescriptorOptions<P>,
    DatagramOptions {}

/** Options of `adopt`. */
export interface AdoptOptions<
  P extends Protocol = Protocol,
  E extends EncodingOf<P> = EncodingOf<P>,
> extends ChannelOptions<P, E>,
    TcpOptions,
    RecvBufferOptions,
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
    ReconnectOptions,
    WaitOptions,
    TcpOptions,
    RecvBufferOptions {}

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
    RecvBufferOptions,
    ListenerOptions {}

/**
 * Options of a function that makes channels whose messages are JSON. Their type is declared by the
 * call: `connect<Receives, Sends>(address, options)`.
 */
export type JsonOptions<F extends keyof Openers> = {
  [P in JsonProtocol & Openers[F]]: OptionsOf<P, NamedEncodingOf<P> & 'json'>[F] & JsonEncoding<P>
}[JsonProtocol & Openers[F]]

/** The functions that make channels, and the protocols that each of them supports. */
interface Openers {
  adopt: Protocol
  bind: ProtocolOver<'dgram'>
  connect: Protocol
  listen: Protocol
  over: ProtocolOver<'stream'>
  pair: Protocol
}

/** The options of each function. */
interface OptionsOf<P extends Protocol, E extends EncodingOf<P>> {
  adopt: AdoptOptions<P, E>
  bind: BindOptions<P, E>
  connect: ConnectOptions<P, E>
  listen: ListenOptions<P, E>
  over: OverOptions<P, E>
  pair: ChannelOptions<P, E>
}

/** Requires the option `encoding`, unless the protocol's default is JSON. */
type JsonEncoding<P extends Protocol> =
  'json' extends DefaultEncodingOf<P> ? unknown : { encoding: 'json' }
