/** Makes sockets of received descriptors, for a server that has not accepted them. */

import type { EventEmitter } from 'node:events'
import { Server, Socket } from 'node:net'
import type { FdSet } from '../fds/fdset.js'
import { hot } from '../native/environment.js'
import { FdwireError } from '../util/errors.js'

/** The handle of a TCP socket. */
interface Handle {
  open(fd: number): number
  close(): void
}

/**
 * The class of the handles of TCP sockets, from the first socket; undefined before that.
 *
 * Before Node makes a handle of a descriptor, it makes five system calls to find out what it is.
 * `hot.isTcp` makes one. Node 20 to 26 have this class.
 */
let TcpHandle: (new (type: 0) => Handle) | undefined

/** What Node sets on a server and its sockets when it accepts a connection. */
interface ServerInternals extends Server {
  _connections: number
  allowHalfOpen?: boolean
  pauseOnConnect?: boolean
  highWaterMark?: number
  noDelay?: boolean
  keepAlive?: boolean
  keepAliveInitialDelay?: number
}
interface SocketInternals extends Socket {
  _handle: Handle | null
  server: unknown
  _server: unknown
}

/**
 * Makes a socket of a descriptor of a set, as `server` makes those that it accepts.
 *
 * # Errors
 * ERR_FDWIRE_FD_KIND for a descriptor that is not a connection.
 */
export function openSocket(fds: FdSet, index: number, server: EventEmitter): Socket {
  const { allowHalfOpen, pauseOnConnect, highWaterMark } = server as ServerInternals
  const options = {
    allowHalfOpen: allowHalfOpen ?? false,
    pauseOnCreate: pauseOnConnect ?? false,
    ...(highWaterMark !== undefined && {
      readableHighWaterMark: highWaterMark,
      writableHighWaterMark: highWaterMark,
    }),
  }
  const socket = (openTcp(fds, index, options) ?? openAny(fds, index, options)) as SocketInternals
  if (server instanceof Server) belong(socket, server as ServerInternals)
  return socket
}

function openTcp(fds: FdSet, index: number, options: object): Socket | undefined {
  if (TcpHandle === undefined) return undefined
  const fd = fds.get(index)
  if (hot.isTcp(fd) !== 1) return undefined
  const handle = new TcpHandle(0)
  if (handle.open(fd) !== 0) {
    handle.close()
    return undefined
  }
  fds.take(index)
  return new Socket({ ...options, handle } as object)
}

function openAny(fds: FdSet, index: number, options: object): Socket {
  const kind = fds.kind(index)
  if (kind !== 'tcp-socket' && kind !== 'unix-stream') {
    throw new FdwireError(
      'ERR_FDWIRE_FD_KIND',
      `Descriptor ${index} of a message of the dispatcher is of kind '${kind}', not a connection`,
      { fault: 'peer', index },
    )
  }
  const socket = new Socket({ ...options, fd: fds.get(index) }) as SocketInternals
  fds.take(index)
  if (kind === 'tcp-socket') TcpHandle ??= socket._handle?.constructor as typeof TcpHandle
  return socket
}

/** Does what a net.Server does with a socket that it has accepted. */
function belong(socket: SocketInternals, server: ServerInternals): void {
  const { noDelay, keepAlive, keepAliveInitialDelay } = server
  if (noDelay) socket.setNoDelay(true)
  if (keepAlive) socket.setKeepAlive(true, (keepAliveInitialDelay ?? 0) * 1000)
  server._connections++
  socket.server = server
  socket._server = server
}
