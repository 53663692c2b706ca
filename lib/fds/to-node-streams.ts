import { closeSync, createReadStream, createWriteStream } from 'node:fs'
import { addAbortSignal, type Readable, type Writable } from 'node:stream'
import tty from 'node:tty'
import { native } from '../native/environment.js'
import { checkCallOptions } from '../options/calls.js'
import type { Kind } from '../util/descriptor.js'
import { FdwireError } from '../util/errors.js'
import { checkSignal, type Offer, openSocket, wrongKind } from './to-node.js'

/** What the streams of both directions take; an option that the kind doesn't have is refused. */
interface StreamOptions {
  /** Bytes that are buffered before it holds back (Node's default); a terminal has none. */
  highWaterMark?: number | undefined
  /** Where in a file or memfd it starts, in bytes (0). */
  start?: number | undefined
  /** Destroys the stream when it is aborted. */
  signal?: AbortSignal | undefined
  /**
   * Also takes what may block a thread of libuv's pool for ever (false): a file on FUSE or a
   * network file system, a device, an eventfd and the like.
   */
  trust?: boolean | undefined
}

/** Options of {@link FdSet.toReadStream}. */
export interface ReadStreamOptions extends StreamOptions {
  /** The last byte of a file or memfd that is read, counted from 0 (all there is). */
  end?: number | undefined
  /** Delivers strings of this encoding instead of Buffers. */
  encoding?: BufferEncoding | undefined
}

/** Options of {@link FdSet.toWriteStream}. */
export interface WriteStreamOptions extends StreamOptions {}

export function toReadStream(offer: Offer, options: ReadStreamOptions = {}): Readable {
  const way = wayOf(offer, 'toReadStream', options, READ_OPTIONS)
  const { signal, encoding, ...rest } = options
  if (encoding !== undefined && !Buffer.isEncoding(encoding)) {
    throw new TypeError(`Node knows no encoding '${encoding}'`)
  }
  const stream = openToRead(offer, way, rest)
  if (encoding !== undefined) stream.setEncoding(encoding)
  return signal === undefined ? stream : addAbortSignal(signal, stream)
}

export function toWriteStream(offer: Offer, options: WriteStreamOptions = {}): Writable {
  const way = wayOf(offer, 'toWriteStream', options, WRITE_OPTIONS)
  const { signal, ...rest } = options
  const stream = openToWrite(offer, way, rest)
  return signal === undefined ? stream : addAbortSignal(signal, stream)
}

/** Through which part of Node a descriptor goes; `fs` reads and writes on libuv's thread pool. */
type Way = 'socket' | 'tty' | 'fs'

const WRITE_OPTIONS: Readonly<Record<Way, readonly string[]>> = {
  socket: ['highWaterMark', 'signal', 'trust'],
  tty: ['signal', 'trust'],
  fs: ['highWaterMark', 'start', 'signal', 'trust'],
}
const READ_OPTIONS: typeof WRITE_OPTIONS = {
  socket: [...WRITE_OPTIONS.socket, 'encoding'],
  tty: [...WRITE_OPTIONS.tty, 'encoding'],
  fs: [...WRITE_OPTIONS.fs, 'encoding', 'end'],
}

function wayOf(
  offer: Offer,
  call: string,
  options: StreamOptions,
  known: typeof READ_OPTIONS,
): Way {
  const { kind } = offer
  const way = kind === 'tty' ? 'tty' : SOCKETS.has(kind) ? 'socket' : 'fs'
  checkCallOptions(`${call} of a ${kind}`, options, known[way])
  checkSignal(options.signal)
  if (way === 'fs' && options.trust !== true) {
    if (kind !== 'file' && kind !== 'memfd') {
      const wanted = 'a pipe, stream socket, terminal, file or memfd (others with `trust: true`)'
      throw wrongKind(offer, call, wanted)
    }
    if (kind === 'file' && native.isRemoteFile(offer.fd)) {
      throw new FdwireError(
        'ERR_FDWIRE_REMOTE_FILE',
        `Descriptor ${offer.index} is a file on FUSE or a network file system, where four blocked ` +
          'calls stop all of fs and dns: `trust: true` takes it all the same',
        { index: offer.index },
      )
    }
  }
  return way
}

const SOCKETS: ReadonlySet<Kind> = new Set(['pipe', 'tcp-socket', 'unix-stream'])
/** What has an offset; the others take no position. */
const SEEKABLE: ReadonlySet<Kind> = new Set(['file', 'memfd', 'blockdev'])

function openToRead(offer: Offer, way: Way, options: ReadStreamOptions): Readable {
  if (way === 'socket') return openSocket(offer, { ...inSocket(options), writable: false })
  if (way === 'tty') return claimTty(offer, new tty.ReadStream(offer.fd))
  const { end } = options
  const stream = createReadStream('', {
    ...inFile(offer, options),
    ...(end !== undefined && { end }),
  })
  offer.claim()
  return stream
}

function openToWrite(offer: Offer, way: Way, options: WriteStreamOptions): Writable {
  if (way === 'socket') return openSocket(offer, { ...inSocket(options), readable: false })
  if (way === 'tty') return claimTty(offer, new tty.WriteStream(offer.fd))
  const stream = createWriteStream('', inFile(offer, options))
  offer.claim()
  return stream
}

function inSocket({ highWaterMark }: StreamOptions): { highWaterMark?: number } {
  return highWaterMark === undefined ? {} : { highWaterMark }
}

/** With a `start` Node reads and writes by position, and leaves the shared offset where it is. */
function inFile({ fd, kind }: Offer, options: StreamOptions) {
  const start = options.start ?? (SEEKABLE.has(kind) ? 0 : undefined)
  return { fd, autoClose: true, ...inSocket(options), ...(start !== undefined && { start }) }
}

/** libuv opens a terminal anew and closes only that one: the descriptor it came by is left over. */
function claimTty<T extends tty.ReadStream | tty.WriteStream>(offer: Offer, stream: T): T {
  offer.claim()
  const handle = (stream as unknown as { _handle: { fd: number } })._handle
  if (handle.fd !== offer.fd) closeSync(offer.fd)
  return stream
}
