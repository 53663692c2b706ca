/** jsoncomm in the words of its original: JSON messages with descriptors between processes. */

export { FdSet } from './fdset.js'
export { ProtocolError, RemoteError } from './jsoncomm/errors.js'
export {
  type Dispatched,
  Service,
  type ServiceFds,
  type ServiceOptions,
} from './jsoncomm/service.js'
export {
  type CallOptions,
  type CallWithFdsOptions,
  type OnSignal,
  ServiceClient,
} from './jsoncomm/service-client.js'
export { ServiceManager } from './jsoncomm/service-manager.js'
export type { Exit, StartOptions } from './jsoncomm/service-process.js'
export { Socket } from './jsoncomm/socket.js'
export type {
  ClientOptions,
  FromFdOptions,
  PairOptions,
  Received,
  SendOptions,
  ServerOptions,
} from './jsoncomm/socket-options.js'
