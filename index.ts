export type { Channel } from './lib/channel/channel.js'
export type { ChannelEvents, RequestOptions, SendOptions } from './lib/channel/events.js'
export type {
  ReplyOf,
  ServeContext,
  ServeHandler,
  ServeOptions,
} from './lib/channel/serve/options.js'
export { Reply, type ReplyOptions } from './lib/channel/serve/reply.js'
export type { ChannelStats } from './lib/channel/stats.js'
export { type ChannelStream, toDuplex } from './lib/channel/to-duplex.js'
export { type Stats, stats } from './lib/channel/totals.js'
export type { FdSource } from './lib/fds/borrow.js'
export { FdSet } from './lib/fds/fdset.js'
export { createMemfd, type MemfdOptions, mapMemfd, sealMemfd } from './lib/fds/memfd.js'
export type { DatagramOptions, ServerOptions, SocketOptions } from './lib/fds/to-node.js'
export type { ReadStreamOptions, WriteStreamOptions } from './lib/fds/to-node-streams.js'
export { adopt } from './lib/open/adopt.js'
export { bind } from './lib/open/bind.js'
export { connect } from './lib/open/connect.js'
export { listen } from './lib/open/listen.js'
export type { Listener } from './lib/open/listener.js'
export type { Drop, ListenerEvents } from './lib/open/listener-events.js'
export { over } from './lib/open/over.js'
export { pair } from './lib/open/pair.js'
export type { Address, ListenFd, TcpAddress } from './lib/options/address.js'
export type {
  AdoptOptions,
  AllowPeer,
  BindOptions,
  ChannelOptions,
  CodecOptions,
  ConnectOptions,
  CustomEncoding,
  Encoding,
  EncodingOf,
  JsonOptions,
  ListenOptions,
  OverOptions,
  Peer,
  PeerProcess,
  Protocol,
  Reconnect,
  Sendable,
  SendableOf,
  SocketType,
  ValueOf,
  WaitOptions,
} from './lib/options/check.js'
export type { Credentials } from './lib/options/types.js'
export type { Kind } from './lib/util/descriptor.js'
export { ERROR_CODES, type ErrorCode, type Fault } from './lib/util/error-codes.js'
export { FdwireError } from './lib/util/errors.js'
export { Codec } from './lib/wire/codec.js'
export type { From, Message } from './lib/wire/message.js'
