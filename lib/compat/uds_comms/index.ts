/**
 * The API of the original uds_comms: a server and a client that exchange texts.
 *
 * The protocol `uds_comms` is the framing alone. The classes here add the handshake: the client
 * sends READY, the server answers OK.
 */

export { UdsClient } from './client.js'
export { Codec, type Read } from './codec.js'
export type {
  UdsClientOptions,
  UdsCodecOptions,
  UdsOverOptions,
  UdsServerOptions,
} from './options.js'
export { UdsServer } from './server.js'

/** By convention the last message of a server: the client closes and does not answer. */
export const QUIT = 'QUIT'
