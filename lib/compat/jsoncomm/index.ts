/** jsoncomm in the words of its original: JSON messages with descriptors between processes. */

export { FdSet } from '../../fds/fdset.js'
export { ProtocolError, RemoteError } from './errors.js'
export {
  type Dispatched,
  Service,
  type ServiceFds,
  type ServiceOptions,
} from './service.js'
export {
  type CallOptions,
  type CallWithFdsOptions,
  type OnSignal,
  ServiceClient,
} from './service-client.js'
export { ServiceManager } from './service-manager.js'
export type { Exit, StartOptions } from './service-process.js'
export { Socket } from './socket.js'
export type {
  ClientOptions,
  FromFdOptions,
  PairOptions,
  Received,
  SendOptions,
  ServerOptions,
} from './socket-options.js'
