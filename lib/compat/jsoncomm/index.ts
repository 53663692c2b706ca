/** The API of osbuild's `jsoncomm` and of its services: JSON messages with descriptors. */

export { FdSet } from '../../fds/fdset.js'
export { ProtocolError, RemoteError } from './errors.js'
export type {
  ClientOptions,
  FromFdOptions,
  PairOptions,
  Received,
  SendOptions,
  ServerOptions,
} from './options.js'
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
  type Reply,
  ServiceClient,
} from './service-client.js'
export { ServiceManager } from './service-manager.js'
export type { Exit, StartOptions } from './service-process.js'
export { Socket } from './socket.js'
