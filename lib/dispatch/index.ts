/**
 * Hands accepted connections to worker processes.
 *
 * docs/dispatch.md describes the module and its protocol, with which programs in any language can be
 * workers.
 */

export type { Connection } from './connection.js'
export {
  Dispatcher,
  type DispatcherEvents,
  type DispatcherOptions,
  type DispatchOptions,
  type DroppedConnection,
  type Pick,
} from './dispatcher.js'
export type { AnyChannel } from './messages.js'
export { type ReceiveConnectionsOptions, receiveConnections } from './receive.js'
export type { DispatchWorker } from './worker.js'
