/** socket_protocol in the words of its original: services over any channel. */

export {
  Authentification,
  type AuthentificationOptions,
  type DeriveKey,
  deriveKey,
  type Reaction,
  type Role,
} from './socket_protocol/authentification.js'
export {
  ChannelTransport,
  type ChannelTransportOptions,
} from './socket_protocol/channel-transport.js'
export * from './socket_protocol/constants.js'
export { DataStorage, type MessageFields } from './socket_protocol/data-storage.js'
export {
  type Datum,
  type DatumChecks,
  defineService,
  Refusal,
  type Serve,
  ServiceDefinition,
} from './socket_protocol/definitions.js'
export {
  BodyError,
  RequestSidExistsError,
  ResponseSidExistsError,
  StatusError,
} from './socket_protocol/errors.js'
export type { ProtocolOptions } from './socket_protocol/options.js'
export {
  type Protocol,
  PureJsonProtocol,
  type SendOptions,
  StructJsonProtocol,
} from './socket_protocol/protocol.js'
export type { ProtocolEvents, ProtocolStats } from './socket_protocol/session.js'
export { SocketClient, type SocketClientOptions } from './socket_protocol/socket-client.js'
export {
  type MakeProtocol,
  ProtocolServer,
  SocketServer,
  type SocketServerOptions,
} from './socket_protocol/socket-server.js'
export type { Logger, Transport } from './socket_protocol/transport.js'
