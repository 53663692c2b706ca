/** Options for the kernel's buffers of a socket. */

import { integer, type OptionTable, SOCKETS, STREAM } from './option.js'

/** Options of functions that create, accept or adopt a socket. */
export interface SendBufferOptions {
  /**
   * The size of the socket's send buffer, SO_SNDBUF (bytes, the kernel's). The kernel doubles it for
   * its own bookkeeping, and limits it to `net.core.wmem_max`.
   */
  sendBufferSize?: number | undefined
}

/** Options of functions that make, accept or adopt TCP connections. */
export interface RecvBufferOptions {
  /**
   * The size of the receive buffer of a TCP socket, SO_RCVBUF (bytes, the kernel's, which it adjusts).
   * The kernel doubles it for its own bookkeeping, and limits it to `net.core.rmem_max`.
   */
  recvBufferSize?: number | undefined
}

export const BUFFERS = {
  sendBufferSize: { of: SOCKETS, check: integer(1) },
  recvBufferSize: {
    of: ['connect', 'listen', 'adopt'],
    types: STREAM,
    // A socket that is passed in may turn out to be a TCP socket.
    on: ['tcp', 'fd'],
    check: integer(1),
  },
} as const satisfies OptionTable<SendBufferOptions & RecvBufferOptions>
