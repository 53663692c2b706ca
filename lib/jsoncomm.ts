/** jsoncomm in the words of its original: JSON messages with descriptors between processes. */

export { FdSet } from './fdset.js'
export { Socket } from './jsoncomm/socket.js'
export type {
  ClientOptions,
  FromFdOptions,
  PairOptions,
  Received,
  SendOptions,
  ServerOptions,
} from './jsoncomm/socket-options.js'
