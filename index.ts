export type { Address, ListenFd, TcpAddress } from './lib/address.js'
export { adopt } from './lib/adopt.js'
export type { Channel } from './lib/channel.js'
export type { ChannelEvents, RequestOptions } from './lib/channel-types.js'
export { Codec } from './lib/codec.js'
export { ERROR_CODES, type ErrorCode, type Fault, FdwireError } from './lib/errors.js'
export { FdSet } from './lib/fdset.js'
export type { DatagramOptions, Kind, ServerOptions, SocketOptions } from './lib/handoff.js'
export type { ReadStreamOptions, WriteStreamOptions } from './lib/handoff-streams.js'
export { listen } from './lib/listen.js'
export type { Drop, Listener, ListenerEvents } from './lib/listener.js'
export { createMemfd, type MemfdOptions, mapMemfd, sealMemfd } from './lib/memfd.js'
export type { Credentials, From, Message } from './lib/message.js'
export { bind, connect, pair } from './lib/open.js'
export type {
  AdoptOptions,
  AllowPeer,
  BindOptions,
  ChannelOptions,
  CodecOptions,
  ConnectOptions,
  EncodingOf,
  ListenOptions,
  OverOptions,
  Peer,
  PeerProcess,
  Protocol,
  Sendable,
  SocketType,
  ValueOf,
  WaitOptions,
} from './lib/options.js'
export type { FdSource } from './lib/outgoing.js'
export { over } from './lib/over.js'
export type { SendOptions } from './lib/sender.js'
export type { ChannelStats } from './lib/stats.js'
