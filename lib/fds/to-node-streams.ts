/** Gives descriptors to Node as streams. */

import { closeSync, createReadStream, createWriteStream } from 'node:fs'
import type { Socket } from 'node:net'
import { addAbortSignal, type Readable, type Writable } from 'node:stream'
import tty from 'node:tty'
import { environment } from '../native/environment.js'
import { checkCallOptions } from '../options/calls.js'
import { checkActiveSignal } from '../options/wait.js'
import type { Kind } from '../util/descriptor.js'
import { errorCode, FdwireError } from '../util/errors.js'
import { NO_OPTIONS } from '../util/no-options.js'
import { kindError, type OwnedFd, openSocket, type SocketOptions } from './to-node.js'

/**
 * Options of both directions. An option that this kind of descriptor does not have is a TypeError.
 */
interface StreamOptions {
  /**
   * How much the stream buffers before it applies back-pressure (bytes, Node's default). Not for a
   * terminal.
   */
  highWaterMark?: number | undefined
  /** The offset in a file or memfd at which the stream starts (bytes, 0). */
  start?: number | undefined
  /** Destroys the stream when it is aborted. */
  signal?: AbortSignal | undefined
  /**
   * Whether to accept a descriptor whose reads can block the event loop or a thread of libuv's pool
   * indefinitely (false): a file or FIFO of a file system that is not known to be local, a device,
   * an eventfd and others.
   */
  trust?: boolean | undefined
}

/** Options of {@link FdSet.toReadStream}. */
export interface ReadStreamOptions extends StreamOptions {
  /** The offset of the last byte to read from a file or memfd (bytes, the end of the file). */
  end?: number | undefined
  /** The encoding of the strings that the stream delivers instead of Buffers. */
  encoding?: BufferEncoding | undefined
}

/** Options of {@link FdSet.toWriteStream}. */
export interface WriteStreamOptions extends StreamOptions {}

/** The part of Node that opens a descriptor; `fs` reads and writes on libuv's thread pool. */
type Backend = 'socket' | 'tty' | 'fs'

const WRITE_OPTIONS: Readonly<Record<Backend, readonly string[]>> = {
  socket: ['highWaterMark', 'signal', 'trust'],
  tty: ['signal', 'trust'],
  fs: ['highWaterMark', 'start', 'signal', 'trust'],
}
const READ_OPTIONS: typeof WRITE_OPTIONS = {
  socket: [...WRITE_OPTIONS.socket, 'encoding'],
  tty: [...WRITE_OPTIONS.tty, 'encoding'],
  fs: [...WRITE_OPTIONS.fs, 'encoding', 'end'],
}

const SOCKETS: ReadonlySet<Kind> = new Set(['pipe', 'tcp-socket', 'unix-stream'])
/** The kinds that have an offset. */
const SEEKABLE: ReadonlySet<Kind> = new Set(['file', 'memfd', 'blockdev'])

/** Implements `FdSet.toReadStream`. */
export function toReadStream(owned: OwnedFd, options: ReadStreamOptions = NO_OPTIONS): Readable {
  const backend = checkStream(owned, 'toReadStream', options, READ_OPTIONS)
  const { signal, encoding, ...rest } = options
  if (encoding !== undefined && !Buffer.isEncoding(encoding)) {
    throw new TypeError(`encoding must be one that Node supports, not '${encoding}'`)
  }
  const stream = openReadable(owned, backend, rest)
  if (encoding !== undefined) stream.setEncoding(encoding)
  return signal === undefined ? stream : addAbortSignal(signal, stream)
}

/** Implements `FdSet.toWriteStream`. */
export function toWriteStream(owned: OwnedFd, options: WriteStreamOptions = NO_OPTIONS): Writable {
  const backend = checkStream(owned, 'toWriteStream', options, WRITE_OPTIONS)
  const { signal, ...rest } = options
  const stream = openWritable(owned, backend, rest)
  return signal === undefined ? stream : addAbortSignal(signal, stream)
}

/** Checks the options and the kind of the descriptor; returns the part of Node that opens it. */
function checkStream(
  owned: OwnedFd,
  call: string,
  options: StreamOptions,
  names: typeof READ_OPTIONS,
): Backend {
  const { kind } = owned
  const backend = kind === 'tty' ? 'tty' : SOCKETS.has(kind) ? 'socket' : 'fs'
  checkCallOptions(`${call} of a ${kind}`, options, names[backend])
  checkActiveSignal(options.signal)
  if (backend === 'fs' && options.trust !== true) checkCannotBlock(owned, call)
  return backend
}

/**
 * Opens a pipe or socket as a net.Socket.
 *
 * The sender of a pipe could make it blocking, so it is opened again. If that is not possible, it
 * belongs to another user, whose rights this process does not have.
 */
function openPipeOrSocket(
  owned: OwnedFd,
  call: string,
  { trust, ...options }: StreamOptions & SocketOptions,
): Socket {
  const own = owned.kind === 'pipe' ? reopenPipe(owned, call, trust) : undefined
  if (own === undefined) return openSocket(owned, options)
  try {
    const socket = openSocket({ ...owned, fd: own, release() {} }, options)
    owned.release()
    environment.closeDuplicate(owned.fd)
    return socket
  } catch (error) {
    environment.closeDuplicate(own)
    throw error
  }
}

function reopenPipe(owned: OwnedFd, call: string, trust: boolean | undefined): number | undefined {
  try {
    return environment.reopenPipe(owned.fd)
  } catch (error) {
    if (errorCode(error) === 'ENOTSUP' && trust !== true) throw notLocalError(owned, call)
    return undefined
  }
}

/** Refuses a descriptor whose reads and writes can block a thread of libuv's pool indefinitely. */
function checkCannotBlock(owned: OwnedFd, call: string): void {
  const { kind } = owned
  if (kind !== 'file' && kind !== 'memfd') {
    const needed = 'a pipe, stream socket, terminal, file or memfd (others with `trust: true`)'
    throw kindError(owned, call, needed)
  }
  if (kind === 'file' && !environment.isLocalFile(owned.fd)) throw notLocalError(owned, call)
}

function notLocalError({ kind, index }: OwnedFd, call: string): FdwireError {
  return new FdwireError(
    'ERR_FDWIRE_REMOTE_FILE',
    `${call}: descriptor ${index} is a ${kind} of a file system that is not known to be local ` +
      '(FUSE, a network file system, /proc and others), where a blocked call stops fs, dns or ' +
      'the event loop: pass `trust: true` to accept that',
    { index },
  )
}

function openReadable(owned: OwnedFd, backend: Backend, options: ReadStreamOptions): Readable {
  if (backend === 'socket') {
    return openPipeOrSocket(owned, 'toReadStream', { ...socketOptions(options), writable: false })
  }
  if (backend === 'tty') return releaseTty(owned, new tty.ReadStream(owned.fd))
  const { end } = options
  const stream = createReadStream('', {
    ...fileOptions(owned, options),
    ...(end !== undefined && { end }),
  })
  owned.release()
  return stream
}

function openWritable(owned: OwnedFd, backend: Backend, options: WriteStreamOptions): Writable {
  if (backend === 'socket') {
    return openPipeOrSocket(owned, 'toWriteStream', { ...socketOptions(options), readable: false })
  }
  if (backend === 'tty') return releaseTty(owned, new tty.WriteStream(owned.fd))
  const stream = createWriteStream('', fileOptions(owned, options))
  owned.release()
  return stream
}

function socketOptions({ trust, ...options }: StreamOptions) {
  return { ...bufferSize(options), ...(trust !== undefined && { trust }) }
}

function bufferSize({ highWaterMark }: StreamOptions): { highWaterMark?: number } {
  return highWaterMark === undefined ? {} : { highWaterMark }
}

/**
 * Sets `start`, with which Node reads and writes by position and does not use the shared offset.
 */
function fileOptions({ fd, kind }: OwnedFd, options: StreamOptions) {
  const start = options.start ?? (SEEKABLE.has(kind) ? 0 : undefined)
  return { fd, autoClose: true, ...bufferSize(options), ...(start !== undefined && { start }) }
}

/** Closes the received descriptor: libuv opens the terminal again and closes only its own one. */
function releaseTty<T extends tty.ReadStream | tty.WriteStream>(owned: OwnedFd, stream: T): T {
  owned.release()
  const handle = (stream as unknown as { _handle: { fd: number } })._handle
  if (handle.fd !== owned.fd) closeSync(owned.fd)
  return stream
}
