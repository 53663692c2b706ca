/** The API of the original msg_channel: binary messages over a stream socket. */

export { Channel } from './channel.js'
export type { Clients, ClientsIterator, Echo } from './clients.js'
export type { ConnectingOptions, ListeningOptions } from './options.js'
