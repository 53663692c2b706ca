/** Borrows descriptors for the duration of one call. */

import { Socket as DgramSocket } from 'node:dgram'
import { Server, Socket } from 'node:net'
import { describeValue } from '../util/checks.js'
import { isDescriptor, MAX_FD } from '../util/descriptor.js'
import { FdwireError } from '../util/errors.js'
import { dgramState } from './dgram-state.js'
import { borrow, FdSet } from './fdset.js'

const EXPECTED =
  'a descriptor number, an object with a numeric `fd` (FileHandle), net.Server, net.Socket or dgram.Socket'

/** A descriptor's number, or an object that has one. fdwire borrows it and never closes it. */
export type FdSource = number | { readonly fd: number } | Server | Socket | DgramSocket

/**
 * Writes the descriptors of a message to send into `out`, and returns how many there are.
 *
 * `fds` is the `fds` option of `send`: an {@link FdSet}, an array or another iterable of {@link
 * FdSource}, or undefined for none. The entries of a set are not marked as lent. The kernel checks
 * whether a number is an open descriptor (EBADF).
 *
 * # Errors
 * TypeError for another value, RangeError for an invalid descriptor number, ERR_FDWIRE_TOO_MANY_FDS
 * for more descriptors than `out` can hold, ERR_FDWIRE_FD_GONE for an entry that was taken or
 * closed and for a socket or file that is not open.
 */
export function collectFds(fds: unknown, out: Int32Array): number {
  if (fds === undefined) return 0
  if (!Array.isArray(fds))
    return fds instanceof FdSet ? collectSet(fds, out) : collectFrom(fds, out)
  if (fds.length > out.length) throw tooManyFdsError(fds.length, out.length)
  // The copy comes first: a getter among the elements may call `send`, which overwrites `out`.
  const sources: unknown[] = [...fds]
  const count = sources.length
  if (count > out.length) throw tooManyFdsError(count, out.length)
  for (let i = 0; i < count; i++) {
    const fd = sources[i]
    if (typeof fd !== 'number' || fd >>> 0 !== fd || fd > MAX_FD) return collectFrom(sources, out)
    out[i] = fd
  }
  return count
}

/**
 * Returns the descriptor of a source. `name` is its name in error messages, or its index in `fds`.
 *
 * # Errors
 * TypeError, RangeError, ERR_FDWIRE_FD_GONE.
 */
export function fdOfSource(source: unknown, name: string | number): number {
  const shown = shownName(name)
  if (typeof source === 'number') {
    if (isDescriptor(source)) return source
    throw new RangeError(`${shown} must be a descriptor number from 0 to ${MAX_FD}, not ${source}`)
  }
  if (source instanceof Socket) {
    if ('encrypted' in source && source.encrypted) {
      throw new TypeError(
        `${shown} is a TLSSocket, which a receiver cannot use: its keys stay in this process`,
      )
    }
    return fdOfHandle(source, name, 'net.Socket is not connected')
  }
  if (source instanceof Server) return fdOfHandle(source, name, 'net.Server is not listening')
  if (source instanceof DgramSocket) {
    const fd = dgramState(source).handle?.fd
    if (isDescriptor(fd)) return fd
    throw notOpenError(name, 'dgram.Socket is not bound or is closed')
  }
  if (typeof source === 'object' && source !== null && !(source instanceof FdSet)) {
    // The fd of a closed FileHandle is -1, and that of an fs stream is null while it is not open.
    if ('fd' in source) {
      const { fd } = source
      if (isDescriptor(fd)) return fd
      if (fd === -1 || fd === null) throw notOpenError(name, 'file is not open')
    }
  }
  throw new TypeError(`${shown} must be ${EXPECTED}, not ${describeValue(source)}`)
}

function collectSet(set: FdSet, out: Int32Array): number {
  if (set.length > out.length) throw tooManyFdsError(set.length, out.length)
  return borrow(set, out)
}

/** Writes `out` last, because a getter or iterator may call `send`, which overwrites `out`. */
function collectFrom(fds: unknown, out: Int32Array): number {
  if (!isIterable(fds)) {
    throw new TypeError(
      `fds must be an FdSet or an array of descriptors, not ${describeValue(fds)}`,
    )
  }
  const numbers: number[] = []
  for (const source of fds) {
    if (numbers.length === out.length) throw tooManyFdsError('more', out.length)
    numbers.push(fdOfSource(source, numbers.length))
  }
  out.set(numbers)
  return numbers.length
}

function tooManyFdsError(count: number | string, limit: number): FdwireError {
  const message =
    limit === 0
      ? 'Messages of this channel carry no descriptors (maxFds: 0): set maxFds at both ends of a Unix socket'
      : `A message of this channel has at most ${limit} descriptors (maxFds), not ${count}`
  return new FdwireError('ERR_FDWIRE_TOO_MANY_FDS', message, { fault: 'caller' })
}

/** In a cluster worker a handle has no `fd` if the primary holds the socket. */
function fdOfHandle(source: Server | Socket, name: string | number, why: string): number {
  const fd = (source as { _handle?: { fd?: unknown } | null })._handle?.fd
  if (isDescriptor(fd)) return fd
  throw notOpenError(name, `${why}, is closed, or has no descriptor in this process`)
}

function notOpenError(name: string | number, why: string): FdwireError {
  return new FdwireError(
    'ERR_FDWIRE_FD_GONE',
    `${shownName(name)} has no descriptor: the ${why}`,
    typeof name === 'number' ? { index: name } : {},
  )
}

function shownName(name: string | number): string {
  return typeof name === 'number' ? `fds[${name}]` : name
}

function isIterable(value: unknown): value is Iterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.iterator in value
}
