/**
 * uds_comms in the words of its original: one server and one client that exchange texts.
 *
 * The framing is native; the handshake, READY one way and OK the other, belongs to the classes here.
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

/** By convention the last message of a server: the client ends, without a reply. */
export const QUIT = 'QUIT'
