import dgram, {
  type Socket as DgramSocket,
  type SocketOptions as NodeDgramOptions,
} from 'node:dgram'
import net, { type Server, type ServerOpts, type Socket } from 'node:net'
import { addAbortSignal } from 'node:stream'
import { checkCallOptions } from '../options/calls.js'
import type { Kind } from '../util/descriptor.js'
import { abortError, FdwireError, systemError } from '../util/errors.js'
import { type DgramHandle, dgramState } from './dgram-state.js'

/**
 * A descriptor that a set offers to Node. What takes it says `claim()` the moment Node owns it,
 * once, and sees to its closing from there on; until then whatever throws leaves it to the set.
 */
export interface Offer {
  fd: number
  kind: Kind
  /** The index that the user named it by, for errors. */
  index: number
  claim(): void
}

/** Options of {@link FdSet.toSocket}; an unknown one is a TypeError. */
export interface SocketOptions {
  /** Keeps our side open when the peer ends its own (false). */
  allowHalfOpen?: boolean | undefined
  /** Whether it can be read (true). */
  readable?: boolean | undefined
  /** Whether it can be written to (true). */
  writable?: boolean | undefined
  /** Bytes that are buffered before it holds back (64 KiB, on Node 20 16 KiB). */
  highWaterMark?: number | undefined
  /** Destroys the socket when it is aborted. */
  signal?: AbortSignal | undefined
}

/** Options of {@link FdSet.toServer}: those of Node's `net.createServer`, and two of our own. */
export interface ServerOptions<S extends Server = Server> extends ServerOpts {
  /** Connections that may wait to be accepted (511). */
  backlog?: number | undefined
  /** A server to give the listening socket to, instead of a new `net.Server`. */
  server?: S | undefined
}

/** Options of {@link FdSet.toDatagram}, as Node's `dgram.createSocket`; unknown ones are refused. */
export interface DatagramOptions {
  /** Resolves host names (`dns.lookup`). */
  lookup?: NodeDgramOptions['lookup'] | undefined
  /** SO_RCVBUF in bytes (left as it is), shared by all holders. */
  recvBufferSize?: number | undefined
  /** SO_SNDBUF in bytes (left as it is), shared by all holders. */
  sendBufferSize?: number | undefined
  /** Closes the socket when it is aborted. */
  signal?: AbortSignal | undefined
}

export function toSocket(offer: Offer, options: SocketOptions = {}): Socket {
  checkCallOptions('toSocket', options, [
    'allowHalfOpen',
    'readable',
    'writable',
    'highWaterMark',
    'signal',
  ])
  if (offer.kind !== 'tcp-socket' && offer.kind !== 'unix-stream') {
    throw wrongKind(offer, 'toSocket', 'a connected TCP or Unix stream socket')
  }
  return openSocket(offer, options)
}

/** Node checks the options and opens the descriptor before its constructor can no longer throw. */
export function openSocket(offer: Offer, { signal, ...options }: SocketOptions): Socket {
  checkSignal(signal)
  const socket = new net.Socket({ ...(options as net.SocketConstructorOpts), fd: offer.fd })
  offer.claim()
  return signal === undefined ? socket : addAbortSignal(signal, socket)
}

export function toServer<S extends Server>(
  offer: Offer,
  options: ServerOptions<S> = {},
  onConnection?: (socket: Socket) => void,
): S {
  if (offer.kind !== 'tcp-listener' && offer.kind !== 'unix-listener') {
    throw wrongKind(offer, 'toServer', 'a listening TCP or Unix socket')
  }
  const { backlog = DEFAULT_BACKLOG, server: given, ...rest } = options
  if (!Number.isInteger(backlog) || backlog < 1) {
    throw new RangeError(`backlog is a positive integer, not ${backlog}`)
  }
  const server = given ?? (net.createServer(rest) as S)
  if (!(server instanceof net.Server)) throw new TypeError('server must be a net.Server')
  const inner = server as unknown as ServerInternals
  if (inner._handle) throw new TypeError('server is listening already')
  if (onConnection !== undefined) server.on('connection', onConnection)
  const handle = createServerHandle(undefined, undefined, undefined, offer.fd)
  if (typeof handle === 'number') throw systemError(handle, 'open')
  offer.claim()
  inner._handle = handle
  inner._listen2(null, -1, -1, backlog)
  return server
}

const DEFAULT_BACKLOG = 511

/**
 * The steps that `server.listen({ fd })` takes, one by one.
 *
 * In a worker of node:cluster that call would ask the primary process for *its* descriptor of this
 * number; and where it fails it doesn't tell whether the descriptor was closed. Node keeps these
 * for cluster and for wrappers, under these names from 20 to 26 at least.
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
 * A dgram.Socket is made for one family, which only the open socket tells. So a first one opens
 * the descriptor, and the one that fits is bound to its handle, as dgram does for cluster.
 */
export function toDatagram(offer: Offer, options: DatagramOptions = {}): DgramSocket {
  checkCallOptions('toDatagram', options, ['lookup', 'recvBufferSize', 'sendBufferSize', 'signal'])
  if (offer.kind !== 'udp-socket') throw wrongKind(offer, 'toDatagram', 'a UDP socket')
  checkSignal(options.signal)
  // Made before the descriptor is opened: here Node refuses what it doesn't like of the options.
  const sockets = {
    IPv4: dgram.createSocket({ ...(options as NodeDgramOptions), type: 'udp4' }),
    IPv6: dgram.createSocket({ ...(options as NodeDgramOptions), type: 'udp6' }),
  }
  const carrier = dgram.createSocket('udp4')
  const handle = dgramState(carrier).handle as DgramHandle
  const error = handle.open(offer.fd)
  if (error !== 0) {
    for (const unused of [carrier, sockets.IPv4, sockets.IPv6]) unused.close()
    throw systemError(error, 'open')
  }
  offer.claim()
  dgramState(carrier).handle = null
  const name: { family?: string } = {}
  handle.getsockname(name)
  const [socket, unused] =
    name.family === 'IPv6' ? [sockets.IPv6, sockets.IPv4] : [sockets.IPv4, sockets.IPv6]
  unused.close()
  if (socket === sockets.IPv6) handle.connect = handle.connect6 // dgram forgets this one
  try {
    return socket.bind(handle as object)
  } catch (error) {
    socket.close()
    throw error
  }
}

/** The error for a descriptor that a call can't use, and where it would be welcome. */
export function wrongKind({ kind, index }: Offer, call: string, wanted: string): FdwireError {
  const elsewhere = ELSEWHERE[kind]
  const hint = elsewhere === undefined || elsewhere.startsWith(call) ? '' : `; ${elsewhere}`
  return new FdwireError(
    'ERR_FDWIRE_FD_KIND',
    `${call} needs ${wanted}, descriptor ${index} is of kind '${kind}'${hint}`,
    { index },
  )
}

const ELSEWHERE: Readonly<Partial<Record<Kind, string>>> = {
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

/** While the set still owns the descriptor: later it could only be closed. */
export function checkSignal(signal: unknown): void {
  if (signal === undefined) return
  if (!(signal instanceof AbortSignal)) throw new TypeError('signal must be an AbortSignal')
  if (signal.aborted) throw abortError(signal)
}
