import { Socket } from 'node:net'
import type { SocketDescription } from '#native'
import { Channel } from '../channel/channel.js'
import { environment } from '../native/environment.js'
import {
  type AdoptOptions,
  type CheckedOptions,
  checkOptions,
  type DefaultEncodingOf,
  type EncodingOf,
  type Protocol,
  type Target,
  type ValueOf,
} from '../options/check.js'
import { describeValue } from '../util/checks.js'
import { isDescriptor, MAX_FD } from '../util/descriptor.js'
import { FdwireError, systemError } from '../util/errors.js'
import { tcpSettings } from './connect-tcp.js'
import { indexOf } from './open.js'

/**
 * Makes a channel of a socket that this process was given: by its descriptor's number, or as a
 * `net.Socket` of Node's.
 *
 * The channel owns the descriptor from then on; where this throws it is still the caller's. Its
 * O_NONBLOCK stays as it is: that is shared with every other process that has the socket. Of a
 * `net.Socket` it takes what Node has read already, behind `head`, and destroys the original.
 *
 * # Errors
 * ERR_FDWIRE_NOT_A_SOCKET, ERR_FDWIRE_WRONG_SOCKET, EBADF where it is not open;
 * ERR_FDWIRE_NOT_QUIET for a `net.Socket` with unsent data; a TypeError for a TLSSocket.
 */
export function adopt<P extends Protocol, E extends EncodingOf<P> = DefaultEncodingOf<P>>(
  socket: number | Socket,
  options: AdoptOptions<P, E>,
): Channel<ValueOf<P, E>> {
  const checked = checkOptions('adopt', options)
  if (socket instanceof Socket) return adoptSocket(socket, options, checked)
  checkDescriptor('adopt', socket)
  checkUnowned('adopt', socket)
  return adoptFd(socket, options, checked)
}

/** Checks the number of a descriptor. */
export function checkDescriptor(call: string, fd: unknown): asserts fd is number {
  if (isDescriptor(fd)) return
  const what = `${call} takes the number of a descriptor`
  if (typeof fd === 'number') {
    throw new RangeError(`${what}, an integer from 0 to ${MAX_FD}, not ${fd}`)
  }
  const given = fd === null ? 'null' : typeof fd === 'object' ? 'object' : describeValue(fd)
  throw new TypeError(`${what} or a net.Socket, not ${given}`)
}

/** Two owners would both close it, and the second one somebody else's. */
export function checkUnowned(call: string, fd: number): void {
  const owner = environment.ownerOf(fd)
  if (owner === '') return
  const how =
    owner === 'FdSet' ? 'an FdSet: take(i) gives it away' : 'a channel: detach() gives it away'
  throw new TypeError(`${call}: descriptor ${fd} belongs to ${how}`)
}

/**
 * Describes a socket and checks that it is one that the caller can use. `needed` is what errors ask for.
 *
 * # Errors
 * ERR_FDWIRE_NOT_A_SOCKET, ERR_FDWIRE_WRONG_SOCKET, EBADF.
 */
export function describeSocket(
  fd: number,
  needed: string,
  isRight: (found: SocketDescription) => boolean,
): SocketDescription & { family: Target } {
  const found = environment.describe(fd)
  if (found.errno !== 0) throw notASocket(fd, found.errno, needed)
  const { family } = found
  if (family === 'other' || !isRight(found)) {
    throw new FdwireError(
      'ERR_FDWIRE_WRONG_SOCKET',
      `Descriptor ${fd} is a ${environment.kindOf(fd)}: ${needed}`,
    )
  }
  return { ...found, family }
}

function adoptFd<V>(fd: number, options: object, { protocol, type }: CheckedOptions): Channel<V> {
  const sort = type === 'dgram' ? 'a Unix datagram socket' : `a connected ${type} socket`
  const needed = `${protocol} over ${type} needs ${sort}`
  const isRight = (found: SocketDescription) =>
    found.type === type && !found.listening && (type === 'stream' || found.family === 'unix')
  const { family } = describeSocket(fd, needed, isRight)
  const checked = checkOptions('adopt', options, undefined, family)
  const { head } = checked
  const outcome =
    type !== 'stream'
      ? environment.adoptDatagram(fd, checked)
      : environment.adoptStream(fd, tcpSettings(checked), checked)
  const index = indexOf(outcome)
  if (head !== undefined && head.length > 0) environment.unshift(index, head)
  return new Channel<V>(index, checked)
}

function adoptSocket<V>(socket: Socket, options: object, checked: CheckedOptions): Channel<V> {
  if (checked.type !== 'stream') {
    throw new TypeError(
      'adopt takes the number of a descriptor, not a net.Socket: that is a stream, never a datagram socket',
    )
  }
  if ('encrypted' in socket && socket.encrypted) {
    throw new TypeError('adopt: a TLSSocket keeps its keys; use over()')
  }
  const handle = (socket as { _handle?: { fd?: unknown } | null })._handle
  const fd = handle?.fd
  if (!isDescriptor(fd) || socket.connecting || socket.destroyed) {
    throw new FdwireError('ERR_FDWIRE_FD_GONE', 'adopt: the net.Socket is not connected, or closed')
  }
  if (socket.writableLength > 0) {
    throw new FdwireError(
      'ERR_FDWIRE_NOT_QUIET',
      `adopt: the net.Socket has ${socket.writableLength} unsent bytes`,
    )
  }
  if (socket.readableEncoding) {
    throw new TypeError('adopt: the net.Socket gives text (setEncoding), and not bytes')
  }
  socket.pause()
  const own = environment.duplicate(fd)
  if (own < 0) throw systemError(own, 'fcntl')
  const given = checked.head === undefined ? [] : [checked.head]
  const chunks: Uint8Array[] = [...given, ...takeAll(socket)]
  try {
    const channel = adoptFd<V>(own, { ...options, head: Buffer.concat(chunks) }, checked)
    socket.destroy()
    return channel
  } catch (error) {
    environment.closeDuplicate(own)
    for (const chunk of chunks.slice(given.length).reverse()) socket.unshift(chunk)
    throw error
  }
}

/** What Node has read from a socket, and nobody has taken. */
function takeAll(socket: Socket): Buffer[] {
  const chunks: Buffer[] = []
  // What the channel gets is not also theirs.
  const listeners = socket.rawListeners('data') as ((chunk: Buffer) => void)[]
  socket.removeAllListeners('data')
  for (let chunk = socket.read(); chunk !== null; chunk = socket.read()) chunks.push(chunk)
  for (const listener of listeners) socket.on('data', listener)
  return chunks
}

/** The error for a descriptor that `describe` could not describe. */
function notASocket(fd: number, errno: number, needed: string): Error {
  const cause = systemError(errno, 'getsockopt')
  const kind = environment.kindOf(fd)
  if (typeof kind === 'string' && (cause.code === 'ENOTSOCK' || kind === 'path')) {
    const hint =
      kind === 'pipe' || kind === 'tty' ? ' (a pipe or terminal goes through over())' : ''
    return new FdwireError(
      'ERR_FDWIRE_NOT_A_SOCKET',
      `Descriptor ${fd} is no socket, its kind is ${kind}: ${needed}${hint}`,
      { cause },
    )
  }
  cause.message += `: descriptor ${fd}`
  return cause
}
