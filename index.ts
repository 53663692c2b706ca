export type { Address } from './lib/address.js'
export type { Channel } from './lib/channel.js'
export type { ChannelEvents, RequestOptions } from './lib/channel-types.js'
export { ERROR_CODES, type ErrorCode, type Fault, FdwireError } from './lib/errors.js'
export { FdSet } from './lib/fdset.js'
export type { DatagramOptions, Kind, ServerOptions, SocketOptions } from './lib/handoff.js'
export type { ReadStreamOptions, WriteStreamOptions } from './lib/handoff-streams.js'
export type { From, Message } from './lib/message.js'
export { adopt, bind, connect, pair, type ValueOf } from './lib/open.js'
export type {
  BindOptions,
  ChannelOptions,
  ConnectOptions,
  Protocol,
  SocketType,
  WaitOptions,
} from './lib/options.js'
export type { FdSource } from './lib/outgoing.js'
export type { SendOptions } from './lib/sender.js'
export type { ChannelStats } from './lib/stats.js'
