/** The API of the original `socket_protocol`: services and callbacks over any channel. */

export type { Form, Ids, MessageFields } from '../../options/socket_protocol.js'
export { BodyError } from '../../wire/encodings/socket_protocol.js'
export {
  Authentification,
  type AuthentificationOptions,
  type DeriveKey,
  deriveKey,
  type Reaction,
  type Role,
} from './authentification.js'
export {
  ChannelTransport,
  type ChannelTransportOptions,
} from './channel-transport.js'
export * from './constants.js'
export { DataStorage } from './data-storage.js'
export {
  type Datum,
  type DatumChecks,
  defineService,
  Refusal,
  type Serve,
  ServiceDefinition,
} from './definitions.js'
export { RequestSidExistsError, ResponseSidExistsError, StatusError } from './errors.js'
export type { ProtocolOptions } from './options.js'
export {
  type Protocol,
  PureJsonProtocol,
  type SendOptions,
  StructJsonProtocol,
} from './protocol.js'
export { type MakeProtocol, ProtocolServer } from './protocol-server.js'
export type { ProtocolEvents, ProtocolStats } from './session.js'
export { SocketClient, type SocketClientOptions } from './socket-client.js'
export { SocketServer, type SocketServerOptions } from './socket-server.js'
export type { Logger, Transport } from './transport.js'
