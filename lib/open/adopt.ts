import { Socket } from 'node:net'
import type { SocketDescription } from '#native'
import { type Channel, makeChannel } from '../channel/channel.js'
import { environment } from '../native/environment.js'
import { findOwner } from '../native/owners.js'
import {
  type AdoptOptions,
  type CheckedOptions,
  checkOptions,
  type DefaultEncodingOf,
  type EncodingOf,
  type JsonOptions,
  type Protocol,
  type SendableOf,
  type Target,
  type ValueOf,
} from '../options/check.js'
import { describeValue } from '../util/checks.js'
import { isDescriptor, MAX_FD } from '../util/descriptor.js'
import { FdwireError, type SystemError, systemError } from '../util/errors.js'

/**
 * Makes a channel from a socket that this process was given: the number of its descriptor, or a
 * `net.Socket`.
 *
 * The channel owns the descriptor. If this throws, the caller still owns it. The channel does not
 * change O_NONBLOCK, which every process with the same socket shares.
 *
 * `head` is the first input of the channel. From a `net.Socket` the channel takes a duplicate of
 * the descriptor and, after `head`, the bytes that Node has already read. Then the `net.Socket` is
 * destroyed; its connection lives on.
 *
 * # Errors
 * ERR_FDWIRE_NOT_A_SOCKET; ERR_FDWIRE_WRONG_SOCKET; EBADF if the descriptor is not open;
 * ERR_FDWIRE_NOT_QUIET for a `net.Socket` with unsent data; ERR_FDWIRE_FD_GONE for one that is not
 * connected; TypeError for a TLSSocket.
 */
export function adopt<Receives, Sends = Receives>(
  socket: number | Socket,
  options: JsonOptions<'adopt'>,
): Channel<Receives, Sends>
export function adopt<P extends Protocol, E extends EncodingOf<P> = DefaultEncodingOf<P>>(
  socket: number | Socket,
  options: AdoptOptions<P, E>,
): Channel<ValueOf<P, E>, SendableOf<P, E>>
export function adopt(socket: number | Socket, options: AdoptOptions): Channel {
  const checked = checkOptions('adopt', options)
  if (socket instanceof Socket) return adoptSocket(socket, options, checked)
  checkDescriptor('adopt', socket)
  checkUnowned('adopt', socket)
  return adoptFd(socket, options, checked)
}

/**
 * Checks that a value is a valid descriptor number. The descriptor may not be open.
 *
 * # Errors
 * TypeError, RangeError.
 */
export function checkDescriptor(call: string, fd: unknown): asserts fd is number {
  if (isDescriptor(fd)) return
  const what = `${call} takes the number of a descriptor`
  if (typeof fd === 'number') {
    throw new RangeError(`${what}, an integer from 0 to ${MAX_FD}, not ${fd}`)
  }
  throw new TypeError(`${what} or a net.Socket, not ${describeValue(fd)}`)
}

/**
 * Checks that nothing in this thread owns a descriptor. A second owner would close it again, after
 * its number is reused.
 *
 * # Errors
 * TypeError.
 */
export function checkUnowned(call: string, fd: number): void {
  const owner = findOwner(fd)
  if (owner === undefined) return
  const what = owner.kind === 'FdSet' ? 'an FdSet' : 'a channel'
  const whose = owner.isForeign ? ' of another copy of fdwire in this process' : ''
  const how = owner.kind === 'FdSet' ? 'take(i)' : 'detach()'
  throw new TypeError(`${call}: descriptor ${fd} belongs to ${what}${whose}: ${how} gives it away`)
}

/**
 * Describes a socket, and checks with `isRight` that the caller can use it. `needed` ends the error
 * message: what the caller needs.
 *
 * # Errors
 * ERR_FDWIRE_NOT_A_SOCKET, ERR_FDWIRE_WRONG_SOCKET, EBADF.
 */
export function describeSocket(
  fd: number,
  needed: string,
  isRight: (found: SocketDescription) => boolean,
): SocketDescription & { family: Target } {
  const found = describe(fd, needed)
  const { family } = found
  if (family === 'other' || !isRight(found)) {
    throw new FdwireError(
      'ERR_FDWIRE_WRONG_SOCKET',
      `Descriptor ${fd} is ${withArticle(environment.kindOf(fd))}: ${needed}`,
    )
  }
  return { ...found, family }
}

function describe(fd: number, needed: string): SocketDescription {
  try {
    return environment.describe(fd)
  } catch (error) {
    throw notASocket(fd, error as SystemError, needed)
  }
}

/** Returns the error for a descriptor that `describe` refuses. */
function notASocket(fd: number, cause: SystemError, needed: string): Error {
  const kind = tryKindOf(fd)
  if (kind !== undefined && (cause.code === 'ENOTSOCK' || kind === 'path')) {
    const hint = kind === 'pipe' || kind === 'tty' ? ' (use over() for a pipe or terminal)' : ''
    return new FdwireError(
      'ERR_FDWIRE_NOT_A_SOCKET',
      `Descriptor ${fd} is not a socket but ${withArticle(kind)}: ${needed}${hint}`,
      { cause },
    )
  }
  const state = cause.code === 'EBADF' ? ' is not open' : ''
  return systemError(cause.errno, cause.syscall, { hint: `descriptor ${fd}${state}` })
}

/** `unix-stream` begins with a consonant when it is spoken. */
function withArticle(kind: string): string {
  return `${/^[aeio]/.test(kind) ? 'an' : 'a'} ${kind}`
}

function tryKindOf(fd: number): string | undefined {
  try {
    return environment.kindOf(fd)
  } catch {
    return undefined
  }
}

function adoptFd(fd: number, options: object, { protocol, type }: CheckedOptions): Channel {
  const what = type === 'dgram' ? 'a Unix datagram socket' : `a connected ${type} socket`
  const needed = `${protocol} over ${type} needs ${what}`
  const isRight = (found: SocketDescription) =>
    found.type === type && !found.listening && (type === 'stream' || found.family === 'unix')
  const { family } = describeSocket(fd, needed, isRight)
  // The options are checked again, now that the family is known.
  const checked = checkOptions('adopt', options, undefined, family)
  const { head } = checked
  const index =
    type === 'stream'
      ? environment.adoptStream(fd, checked)
      : environment.adoptDatagram(fd, checked)
  if (head !== undefined && head.length > 0) environment.unshift(index, head)
  return makeChannel(index, checked)
}

function adoptSocket(socket: Socket, options: object, checked: CheckedOptions): Channel {
  if (checked.type !== 'stream') {
    throw new TypeError(
      'adopt takes the number of a descriptor, not a net.Socket: that is a stream, never a datagram socket',
    )
  }
  const fd = checkSocket('adopt', socket)
  socket.pause()
  const own = environment.duplicate(fd)
  const given = checked.head === undefined ? [] : [checked.head]
  const buffered = takeBuffered(socket)
  try {
    const head = Buffer.concat([...given, ...buffered])
    const channel = adoptFd(own, { ...options, head }, checked)
    socket.destroy()
    return channel
  } catch (error) {
    environment.closeDuplicate(own)
    for (const chunk of buffered.reverse()) socket.unshift(chunk)
    throw error
  }
}

/**
 * Checks that a `net.Socket` can be taken from Node, and returns its descriptor.
 *
 * # Errors
 * TypeError for a TLSSocket and one that emits strings; ERR_FDWIRE_FD_GONE; ERR_FDWIRE_NOT_QUIET.
 */
export function checkSocket(call: string, socket: Socket): number {
  if ('encrypted' in socket && socket.encrypted) {
    throw new TypeError(
      `${call} does not take a TLSSocket, whose keys stay in Node${TLS_HINTS[call]}`,
    )
  }
  const handle = (socket as { _handle?: { fd?: unknown } | null })._handle
  const fd = handle?.fd
  if (!isDescriptor(fd) || socket.connecting || socket.destroyed) {
    throw new FdwireError(
      'ERR_FDWIRE_FD_GONE',
      `${call}: the net.Socket is not connected, or closed`,
    )
  }
  if (socket.writableLength > 0) {
    throw new FdwireError(
      'ERR_FDWIRE_NOT_QUIET',
      `${call}: the net.Socket has ${socket.writableLength} unsent bytes: wait until it has sent them`,
    )
  }
  if (socket.readableEncoding) {
    throw new TypeError(`${call}: the net.Socket emits strings (setEncoding), not bytes`)
  }
  return fd
}

const TLS_HINTS: Readonly<Record<string, string>> = {
  adopt: ': use over()',
  dispatch: ': dispatch the connection before TLS, and let the worker decrypt it',
}

/** Takes the bytes that Node has read from a socket but not delivered. */
export function takeBuffered(socket: Socket): Buffer[] {
  const chunks: Buffer[] = []
  // read() also emits 'data', and these bytes are only for the channel.
  const listeners = socket.rawListeners('data') as ((chunk: Buffer) => void)[]
  socket.removeAllListeners('data')
  for (let chunk = socket.read(); chunk !== null; chunk = socket.read()) chunks.push(chunk)
  for (const listener of listeners) socket.on('data', listener)
  return chunks
}
