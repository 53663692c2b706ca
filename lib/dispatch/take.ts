import { Socket } from 'node:net'
import { environment, hot } from '../native/environment.js'
import {
  checkDescriptor,
  checkSocket,
  checkUnowned,
  describeSocket,
  takeBuffered,
} from '../open/adopt.js'
import type { Pending } from './pending.js'

const NEEDED = 'dispatch needs a connected stream socket'

/**
 * Takes ownership of a connection: a descriptor, or a `net.Socket`, which is destroyed.
 *
 * # Errors
 * Those of `Dispatcher.dispatch`. The caller keeps the connection.
 */
export function takeConnection(
  socket: Socket | number,
  head: Uint8Array | undefined,
  meta: unknown,
): Pending {
  if (socket instanceof Socket) return takeSocket(socket, head, meta)
  checkDescriptor('dispatch', socket)
  checkUnowned('dispatch', socket)
  describeSocket(socket, NEEDED, ({ type, listening }) => type === 'stream' && !listening)
  environment.ownFd(socket)
  return pending(socket, head === undefined ? [] : [head], meta)
}

function takeSocket(socket: Socket, head: Uint8Array | undefined, meta: unknown): Pending {
  const fd = checkSocket('dispatch', socket)
  socket.pause()
  const own = environment.duplicate(fd)
  environment.ownFd(own)
  const chunks = [...(head === undefined ? [] : [head]), ...takeBuffered(socket)]
  socket.destroy()
  return pending(own, chunks, meta)
}

function pending(fd: number, chunks: Uint8Array[], meta: unknown): Pending {
  // The caller may reuse the memory of `head`.
  const head = Buffer.concat(chunks)
  const isTcp = hot.isTcp(fd) === 1
  return { fd, isTcp, head: head.length > 0 ? head : undefined, meta, peeked: undefined }
}
