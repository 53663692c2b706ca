import { Socket as DgramSocket } from 'node:dgram'
import { Server, Socket } from 'node:net'
import { isDescriptor, MAX_FD } from '../util/descriptor.js'
import { FdwireError } from '../util/errors.js'
import { dgramState } from './dgram-state.js'
import { borrow, FdSet } from './fdset.js'

const EXPECTED =
  'a descriptor number, an object with a numeric `fd` (FileHandle), net.Server, net.Socket or dgram.Socket'

/** Something whose open descriptor can be sent along with a message; it is borrowed, never taken. */
export type FdSource = number | { readonly fd: number } | Server | Socket | DgramSocket

/**
 * Writes the numbers of what a caller wants to send into `out` and returns how many they are.
 *
 * `fds` is what the `fds` option of `send` takes: an {@link FdSet}, or an array or other iterable
 * of {@link FdSource}; undefined is none. Nothing is lent or taken by it. Whether a plain number
 * is open is for the kernel to say (EBADF).
 *
 * # Errors
 * TypeError for what is no such thing, RangeError for a number that no descriptor has,
 * ERR_FDWIRE_TOO_MANY_FDS for more than `out` holds, ERR_FDWIRE_FD_GONE for an entry that was
 * taken or closed.
 */
export function collectFds(fds: unknown, out: Int32Array): number {
  if (fds === undefined) return 0
  if (!Array.isArray(fds)) return fds instanceof FdSet ? ofSet(fds, out) : collectFrom(fds, out)
  if (fds.length > out.length) throw tooMany(fds.length, out.length)
  // An element may be a getter of the caller's, which may send on its own and use `out`.
  const sources: unknown[] = [...fds]
  const count = sources.length
  if (count > out.length) throw tooMany(count, out.length)
  for (let i = 0; i < count; i++) {
    const fd = sources[i]
    if (typeof fd !== 'number' || fd >>> 0 !== fd || fd > MAX_FD) return collectFrom(sources, out)
    out[i] = fd
  }
  return count
}

function ofSet(set: FdSet, out: Int32Array): number {
  if (set.length > out.length) throw tooMany(set.length, out.length)
  return borrow(set, out)
}

/** The error for `count` descriptors where `limit` are allowed. */
export function tooMany(count: number | string, limit: number): FdwireError {
  return new FdwireError(
    'ERR_FDWIRE_TOO_MANY_FDS',
    `A message carries at most ${limit} descriptors, not ${count}`,
    { fault: 'caller' },
  )
}

/** Gathers aside first: a getter or iterator of the caller's may send on its own and use `out`. */
function collectFrom(fds: unknown, out: Int32Array): number {
  if (!isIterable(fds)) {
    throw new TypeError(`fds must be an FdSet or an array of descriptors, not ${describe(fds)}`)
  }
  const numbers: number[] = []
  for (const source of fds) {
    if (numbers.length === out.length) throw tooMany('more', out.length)
    numbers.push(numberOf(source, numbers.length))
  }
  out.set(numbers)
  return numbers.length
}

/** The number of a descriptor; `what` it is called in errors, or its index in `fds`. */
export function numberOf(source: unknown, what: string | number): number {
  const name = typeof what === 'number' ? `fds[${what}]` : what

  if (typeof source === 'number') {
    if (isDescriptor(source)) return source
    throw new RangeError(`${name} is ${source}, which no descriptor's number can be`)
  }
  if (source instanceof Socket) {
    if ('encrypted' in source && source.encrypted) {
      throw new TypeError(
        `${name} is a TLSSocket: its keys stay in this process, a receiver could not use it`,
      )
    }
    return fdOfHandle(source, what, 'net.Socket is not connected, or closed')
  }
  if (source instanceof Server) {
    return fdOfHandle(source, what, 'net.Server is not listening')
  }
  if (source instanceof DgramSocket) {
    const fd = dgramState(source).handle?.fd
    if (isDescriptor(fd)) return fd
    throw gone(what, 'dgram.Socket is not bound, or closed')
  }
  if (typeof source === 'object' && source !== null && !(source instanceof FdSet)) {
    // A closed FileHandle's is -1, that of an fs stream not yet open or already closed is null.
    if ('fd' in source) {
      const { fd } = source
      if (isDescriptor(fd)) return fd
      if (fd === -1 || fd === null) throw gone(what, 'file is not open')
    }
  }
  throw new TypeError(`${name} must be ${EXPECTED}, not ${describe(source)}`)
}

/** In a cluster's worker a server may listen through the primary: its handle then has no `fd`. */
function fdOfHandle(source: Server | Socket, what: string | number, otherwise: string): number {
  const fd = (source as { _handle?: { fd?: unknown } | null })._handle?.fd
  if (isDescriptor(fd)) return fd
  throw gone(what, `${otherwise}, or has no descriptor in this process`)
}

function gone(what: string | number, why: string): FdwireError {
  const ofMany = typeof what === 'number'
  const name = ofMany ? `fds[${what}]` : what
  const message = `${name} has no descriptor: the ${why}`
  return new FdwireError('ERR_FDWIRE_FD_GONE', message, ofMany ? { index: what } : {})
}

function isIterable(value: unknown): value is Iterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.iterator in value
}

function describe(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (typeof value !== 'object') return `a ${typeof value}`
  const name = value.constructor?.name
  return name === undefined || name === 'Object' ? 'an object' : `an instance of ${name}`
}
