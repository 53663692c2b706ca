/** Gives descriptors to Node as sockets and servers. */

import dgram, {
  type Socket as DgramSocket,
  type SocketOptions as NodeDgramOptions,
} from 'node:dgram'
import net, { type Server, type ServerOpts, type Socket } from 'node:net'
import { addAbortSignal } from 'node:stream'
import { checkCallOptions } from '../options/calls.js'
import { checkActiveSignal } from '../options/wait.js'
import { checkInteger, describeValue } from '../util/checks.js'
import type { Kind } from '../util/descriptor.js'
import { FdwireError, systemError } from '../util/errors.js'
import { NO_OPTIONS } from '../util/no-options.js'
import { type DgramHandle, dgramState } from './dgram-state.js'

/**
 * A descriptor that a set owns and gives to Node.
 *
 * The function that gets it calls `release` once, as soon as Node owns the descriptor. If it throws
 * before that, the set still owns the descriptor.
 */
export interface OwnedFd {
  fd: number
  kind: Kind
  /** The index that the program passed, for error messages. */
  index: number
  /** Removes the descriptor from the set. */
  release(): void
}

/** Options of {@link FdSet.toSocket}. An unknown option is a TypeError. */
export interface SocketOptions {
  /** Whether this side stays open when the peer ends its side (false). */
  allowHalfOpen?: boolean | undefined
  /** Whether the socket can be read (true). */
  readable?: boolean | undefined
  /** Whether the socket can be written (true). */
  writable?: boolean | undefined
  /**
   * How much the socket buffers before `write` returns false and reading stops (bytes, Node's
   * default: 64 KiB, on Node 20 16 KiB).
   */
  highWaterMark?: number | undefined
  /** Destroys the socket when it is aborted. */
  signal?: AbortSignal | undefined
}

/** Options of {@link FdSet.toServer}: those of Node's `net.createServer`, and two more. */
export interface ServerOptions<S extends Server = Server> extends ServerOpts {
  /** The most connections that wait in the kernel to be accepted (511). */
  backlog?: number | undefined
  /** The server that gets the listening socket (default: a new `net.Server`). */
  server?: S | undefined
}

/** Options of {@link FdSet.toDatagram}: some of `dgram.createSocket`. Others are a TypeError. */
export interface DatagramOptions {
  /** Resolves host names (default: `dns.lookup`). */
  lookup?: NodeDgramOptions['lookup'] | undefined
  /** SO_RCVBUF (bytes, unchanged). It applies to every process that has the socket. */
  recvBufferSize?: number | undefined
  /** SO_SNDBUF (bytes, unchanged). It applies to every process that has the socket. */
  sendBufferSize?: number | undefined
  /** Closes the socket when it is aborted. */
  signal?: AbortSignal | undefined
}

const SOCKET_OPTIONS = ['allowHalfOpen', 'readable', 'writable', 'highWaterMark', 'signal']
const DATAGRAM_OPTIONS = ['lookup', 'recvBufferSize', 'sendBufferSize', 'signal']
const DEFAULT_BACKLOG = 511

/** Implements `FdSet.toSocket`. */
export function toSocket(owned: OwnedFd, options: SocketOptions = NO_OPTIONS): Socket {
  checkCallOptions('toSocket', options, SOCKET_OPTIONS)
  if (owned.kind !== 'tcp-socket' && owned.kind !== 'unix-stream') {
    throw kindError(owned, 'toSocket', 'a connected TCP or Unix stream socket')
  }
  return openSocket(owned, options)
}

/**
 * Opens a descriptor as a net.Socket. The constructor throws only before it opens the descriptor.
 */
export function openSocket(owned: OwnedFd, { signal, ...options }: SocketOptions): Socket {
  checkActiveSignal(signal)
  const socket = new net.Socket({ ...(options as net.SocketConstructorOpts), fd: owned.fd })
  owned.release()
  return signal === undefined ? socket : addAbortSignal(signal, socket)
}

/** Implements `FdSet.toServer`. */
export function toServer<S extends Server>(
  owned: OwnedFd,
  options: ServerOptions<S> = NO_OPTIONS,
  onConnection?: (socket: Socket) => void,
): S {
  if (owned.kind !== 'tcp-listener' && owned.kind !== 'unix-listener') {
    throw kindError(owned, 'toServer', 'a listening TCP or Unix socket')
  }
  const { backlog: givenBacklog, server: givenServer, ...rest } = options
  const backlog = checkInteger('backlog', givenBacklog, DEFAULT_BACKLOG, 1)
  const server = givenServer ?? (net.createServer(rest) as S)
  if (!(server instanceof net.Server)) {
    throw new TypeError(`server must be a net.Server, not ${describeValue(server)}`)
  }
  const internals = server as unknown as ServerInternals
  if (internals._handle) throw new TypeError('server is listening already: pass one that is not')
  if (onConnection !== undefined) server.on('connection', onConnection)
  const handle = createServerHandle(undefined, undefined, undefined, owned.fd)
  if (typeof handle === 'number') throw systemError(handle, 'open')
  owned.release()
  internals._handle = handle
  internals._listen2(null, -1, -1, backlog)
  return server
}

/**
 * Node's internal steps of `server.listen({ fd })`. `toServer` performs them itself for two
 * reasons: in a worker of node:cluster, `listen` opens *the primary's* descriptor of this number;
 * and if it fails, the caller cannot know whether the descriptor is closed.
 *
 * Node 20 to 26 have these functions, under these names, for node:cluster.
 */
interface ServerInternals {
  _handle: object | null
  _listen2(address: null, port: -1, type: -1, backlog: number): void
}
const createServerHandle = (
  net as unknown as {
    _createServerHandle(a: undefined, p: undefined, t: undefined, fd: number): object | number
  }
)._createServerHandle

/**
 * Implements `FdSet.toDatagram`.
 *
 * A dgram.Socket is created for one address family, but only an open handle reports the family of
 * its socket. So one dgram.Socket opens the descriptor, and another one of the right family is
 * bound to its handle, as node:dgram does in cluster workers.
 */
export function toDatagram(owned: OwnedFd, options: DatagramOptions = NO_OPTIONS): DgramSocket {
  checkCallOptions('toDatagram', options, DATAGRAM_OPTIONS)
  if (owned.kind !== 'udp-socket') throw kindError(owned, 'toDatagram', 'a UDP socket')
  checkActiveSignal(options.signal)
  // Node checks the options here, before the descriptor is opened.
  const sockets = {
    IPv4: dgram.createSocket({ ...(options as NodeDgramOptions), type: 'udp4' }),
    IPv6: dgram.createSocket({ ...(options as NodeDgramOptions), type: 'udp6' }),
  }
  const opener = dgram.createSocket('udp4')
  const handle = dgramState(opener).handle as DgramHandle
  const errno = handle.open(owned.fd)
  if (errno !== 0) {
    for (const unused of [opener, sockets.IPv4, sockets.IPv6]) unused.close()
    throw systemError(errno, 'open')
  }
  owned.release()
  dgramState(opener).handle = null
  const name: { family?: string } = {}
  handle.getsockname(name)
  const [socket, unused] =
    name.family === 'IPv6' ? [sockets.IPv6, sockets.IPv4] : [sockets.IPv4, sockets.IPv6]
  unused.close()
  // node:dgram sets this for a udp6 socket that it opens itself, but not for a given handle.
  if (socket === sockets.IPv6) handle.connect = handle.connect6
  try {
    return socket.bind(handle as object)
  } catch (error) {
    socket.close()
    throw error
  }
}

/** Returns the error of a call that cannot use this kind of descriptor. Names a method that can. */
export function kindError({ kind, index }: OwnedFd, call: string, needed: string): FdwireError {
  const alternative = ALTERNATIVES[kind]
  const hint = alternative === undefined || alternative.startsWith(call) ? '' : `; ${alternative}`
  return new FdwireError(
    'ERR_FDWIRE_FD_KIND',
    `${call} needs ${needed}, descriptor ${index} is of kind '${kind}'${hint}`,
    { index },
  )
}

const ALTERNATIVES: Readonly<Partial<Record<Kind, string>>> = {
  file: 'toReadStream and toWriteStream take files',
  memfd: 'toReadStream and toWriteStream take memfds',
  pipe: 'toReadStream and toWriteStream take pipes',
  tty: 'toReadStream and toWriteStream take terminals',
  'tcp-socket': 'toSocket takes it',
  'unix-stream': 'toSocket takes it',
  'tcp-listener': 'toServer takes it',
  'unix-listener': 'toServer takes it',
  'udp-socket': 'toDatagram takes it',
  'unix-dgram': 'take() it and adopt() it: Node has no Unix datagram sockets',
  'unix-seqpacket': 'take() it and adopt() it: Node has no seqpacket sockets',
}
