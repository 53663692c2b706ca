/**
 * Checks and converts the addresses of sockets: paths, abstract names, TCP addresses, descriptors.
 */

import { isUtf8 } from 'node:buffer'
import type { SocketAddress } from '#native'
import { copyOf, sliceUtf8 } from '../util/buffers.js'
import { checkInteger, checkNames, describeValue, listOr, only } from '../util/checks.js'
import { MAX_FD } from '../util/descriptor.js'
import { FdwireError, illFormedError } from '../util/errors.js'

export { printableAddress } from '../util/errors.js'

/**
 * The address of a Unix socket: a path, or `'\0'` and an abstract name.
 *
 * It is a Buffer if it is not valid UTF-8.
 */
export type Address = string | Uint8Array

/** The address of a TCP socket. */
export interface TcpAddress {
  /**
   * A host name or an IP address: `'localhost'` for this machine alone, `'::'` to listen on all
   * interfaces.
   *
   * It has no default, so that no program listens on all interfaces by accident.
   */
  host: string
  /** The port (0 to 65,535). With 0 `listen` uses a free one that the kernel chooses. */
  port: number
}

/** A socket that this process was given: for `listen` a listening one, for `bind` a bound one. */
export interface ListenFd {
  /** Its descriptor. */
  fd: number
}

/** The longest address that Linux accepts (bytes, the leading NUL of an abstract name included). */
const MAX_ADDRESS = 108

const SLASH = 0x2f
const MAX_PORT = 65_535
const TCP_NAMES = only(['host', 'port'])
const FD_NAMES = only(['fd'])

/** Whether a value has the shape of a TCP address. `checkTcp` checks whether it is valid. */
export function isTcp(address: unknown): address is TcpAddress {
  return isRecord(address) && ('host' in address || 'port' in address)
}

/** Whether a value has the shape of `{ fd }`. `checkListenFd` checks whether it is valid. */
export function isListenFd(address: unknown): address is ListenFd {
  return isRecord(address) && 'fd' in address && !isTcp(address)
}

/**
 * Checks the address of a TCP socket. `leastPort` is 1 for an address to connect to.
 *
 * # Errors
 * TypeError, RangeError, ERR_FDWIRE_ILL_FORMED_TEXT, ERR_FDWIRE_BAD_ADDRESS.
 */
export function checkTcp(address: TcpAddress, what: string, leastPort: 0 | 1 = 0): TcpAddress {
  checkNames(what, address, TCP_NAMES, 'property')
  const { host, port } = address
  if (host === undefined || host === '') {
    throw new TypeError(
      `${what} needs a host: 'localhost' is this machine alone, '::' listens on all interfaces`,
    )
  }
  if (typeof host !== 'string') {
    throw new TypeError(`host must be a string, not ${describeValue(host)}`)
  }
  if (!host.isWellFormed()) throw illFormedError('host', host)
  if (host.includes('\0')) {
    throw new FdwireError('ERR_FDWIRE_BAD_ADDRESS', 'host contains a zero byte')
  }
  if (port === undefined) throw new TypeError(`${what} needs a port`)
  return { host, port: checkInteger('port', port, 0, leastPort, MAX_PORT) }
}

/**
 * Checks `{ fd }` and returns the descriptor's number.
 *
 * # Errors
 * TypeError, RangeError.
 */
export function checkListenFd(address: ListenFd): number {
  checkNames('The address', address, FD_NAMES, 'property')
  const { fd } = address
  if (fd === undefined) throw new TypeError('fd must be a number, not undefined')
  return checkInteger('fd', fd, 0, 0, MAX_FD)
}

/**
 * Checks a Unix address and returns its bytes, as system calls take them.
 *
 * `alternatives` names the other kinds of address that the caller accepts.
 *
 * # Errors
 * TypeError, and those of `checkAddress`.
 */
export function encodeAddress(
  address: unknown,
  what: string,
  ...alternatives: readonly string[]
): Uint8Array {
  if (typeof address !== 'string' && !(address instanceof Uint8Array)) {
    const others = alternatives.length === 0 ? 'or a Buffer' : listOr(['a Buffer', ...alternatives])
    throw new TypeError(
      `${what} must be a path, '\\0' and an abstract name, ${others}, not ${describeValue(address)}`,
    )
  }
  checkAddress(address, what)
  return typeof address === 'string' ? Buffer.from(address) : address
}

/**
 * Checks the address that a Unix socket is to be bound to, and returns its bytes. They are empty for
 * null, which stands for an abstract name that the kernel chooses.
 *
 * # Errors
 * Those of `encodeAddress`; TypeError for an empty address, which bind(2) would take for null.
 */
export function encodeBound(
  address: unknown,
  what: string,
  ...alternatives: readonly string[]
): Uint8Array {
  if (address === null) return NO_BYTES
  const name = encodeAddress(address, what, 'null', ...alternatives)
  if (name.length === 0) throw emptyError(what, `null for ${KERNEL_CHOSEN}`)
  return name
}

const NO_BYTES = new Uint8Array(0)
const KERNEL_CHOSEN =
  'an abstract name that the kernel chooses, which every process in the network namespace can send to'

/** Returns the error for an empty address. `instead`: what to use. */
export function emptyError(what: string, instead: string): TypeError {
  return new TypeError(`${what} must not be empty: use a path, or ${instead}`)
}

/**
 * Checks that a Unix socket can have this address.
 *
 * # Errors
 * ERR_FDWIRE_ILL_FORMED_TEXT, ERR_FDWIRE_BAD_ADDRESS.
 */
export function checkAddress(address: Address, what: string): void {
  const isText = typeof address === 'string'
  if (isText && !address.isWellFormed()) throw illFormedError(what, address)
  const bytes = isText ? Buffer.byteLength(address) : address.length
  if (bytes > MAX_ADDRESS) {
    throw new FdwireError(
      'ERR_FDWIRE_BAD_ADDRESS',
      `${what} has ${bytes} bytes: the address of a Unix socket has at most ${MAX_ADDRESS}`,
    )
  }
  const nul = isText ? address.indexOf('\0') : address.indexOf(0)
  if (nul > 0) {
    throw new FdwireError(
      'ERR_FDWIRE_BAD_ADDRESS',
      `${what} is a path with a zero byte at ${nul}: only an abstract name has one, at its start`,
    )
  }
}

/** Returns the Unix address that the kernel reports as these bytes; null if there are none. */
export function decodeAddress(name: Buffer): string | Buffer | null {
  if (name.length === 0) return null
  return isUtf8(name) ? sliceUtf8(name) : copyOf(name)
}

/**
 * Returns an address that native code reports: null for a socket without one, undefined for null.
 */
export function decodeSocketAddress(
  address: SocketAddress | null,
): string | Buffer | TcpAddress | null | undefined {
  if (address === null) return undefined
  const { unix, host, port } = address
  if (unix !== undefined) return decodeAddress(unix)
  return host === undefined || port === undefined ? undefined : { host, port }
}

/** Whether two addresses have the same bytes. */
export function isSameAddress(a: Address, b: Address): boolean {
  if (typeof a === 'string' && typeof b === 'string') return a === b
  return Buffer.compare(bytesOf(a), bytesOf(b)) === 0
}

/** Whether an address is a path relative to the working directory. */
export function isRelative(address: Address): boolean {
  const first = typeof address === 'string' ? address.charCodeAt(0) : address[0]
  return first !== SLASH && first !== 0
}

function bytesOf(address: Address): Uint8Array {
  return typeof address === 'string' ? Buffer.from(address) : address
}

function isRecord(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !(value instanceof Uint8Array)
}
