import { isUtf8 } from 'node:buffer'
import type { SocketName } from '#native'
import { checkInteger, checkNames, describeValue, only } from '../util/checks.js'
import { MAX_FD } from '../util/descriptor.js'
import { FdwireError } from '../util/errors.js'

/**
 * The name of a Unix socket: a path, or an abstract name with its leading `'\0'`.
 *
 * A Buffer where the name is not UTF-8.
 */
export type Address = string | Uint8Array

/** The address of a TCP socket. */
export interface TcpAddress {
  /**
   * A name or a number: `'localhost'` for this machine alone, `'::'` to listen on all interfaces.
   *
   * Required: who is to be reached over the network shall stand in the program.
   */
  host: string
  /** The port (0 to 65,535); for `listen` 0 is one of the kernel's choice. */
  port: number
}

/** A listening socket that this process was given, by its descriptor's number. */
export interface ListenFd {
  fd: number
}

/** The longest name that Linux takes (bytes; an abstract one's leading NUL counts). */
export const MAX_ADDRESS = 108

/** Whether an address is meant for TCP: `checkTcp` says whether it is one. */
export function isTcp(address: unknown): address is TcpAddress {
  return isRecord(address) && ('host' in address || 'port' in address)
}

/** Whether `listen` is given a socket instead of an address: `checkListenFd` says whether it is one. */
export function isListenFd(address: unknown): address is ListenFd {
  return isRecord(address) && 'fd' in address && !isTcp(address)
}

/** Checks the address of a TCP socket; `leastPort` is 1 where one connects. */
export function checkTcp(address: TcpAddress, what: string, leastPort: 0 | 1 = 0): TcpAddress {
  checkNames(what, address, TCP_NAMES, 'property')
  const { host, port } = address
  if (host === undefined || host === '') {
    throw new TypeError(
      `${what} needs a host: 'localhost' is this machine alone, '::' listens on all interfaces`,
    )
  }
  if (typeof host !== 'string')
    throw new TypeError(`host must be a string, not ${describeValue(host)}`)
  if (!host.isWellFormed()) {
    throw new FdwireError('ERR_FDWIRE_ILL_FORMED_TEXT', 'host has a lone surrogate')
  }
  if (host.includes('\0')) {
    throw new FdwireError('ERR_FDWIRE_BAD_ADDRESS', 'host has a zero byte')
  }
  if (port === undefined) throw new TypeError(`${what} needs a port`)
  return { host, port: checkInteger('port', port, 0, leastPort, MAX_PORT) }
}

/** Checks what `listen` is given instead of an address; the descriptor's number. */
export function checkListenFd(address: ListenFd): number {
  checkNames('The address', address, FD_NAMES, 'property')
  const { fd } = address
  if (fd === undefined) throw new TypeError('fd must be a number, not undefined')
  return checkInteger('fd', fd, 0, 0, MAX_FD)
}

/** A Unix address as the kernel is to get it; `orElse` is what else is taken there. */
export function encodeAddress(address: unknown, what: string, orElse?: string): Uint8Array {
  if (typeof address !== 'string' && !(address instanceof Uint8Array)) {
    const buffer = orElse === undefined ? 'or a Buffer' : `a Buffer or ${orElse}`
    throw new TypeError(
      `${what} must be a path, '\\0' and an abstract name, ${buffer}, not ${typeName(address)}`,
    )
  }
  checkAddress(address, what)
  return typeof address === 'string' ? Buffer.from(address) : address
}

/** Throws ERR_FDWIRE_BAD_ADDRESS or ERR_FDWIRE_ILL_FORMED_TEXT for what no socket can be called. */
export function checkAddress(address: Address, what: string): void {
  const text = typeof address === 'string'
  if (text && !address.isWellFormed()) {
    throw new FdwireError('ERR_FDWIRE_ILL_FORMED_TEXT', `${what} has a lone surrogate`)
  }
  const bytes = text ? Buffer.byteLength(address) : address.length
  if (bytes > MAX_ADDRESS) {
    throw new FdwireError(
      'ERR_FDWIRE_BAD_ADDRESS',
      `${what} has ${bytes} bytes: a Unix socket's name has at most ${MAX_ADDRESS}`,
    )
  }
  const nul = text ? address.indexOf('\0') : address.indexOf(0)
  if (nul > 0) {
    throw new FdwireError(
      'ERR_FDWIRE_BAD_ADDRESS',
      `${what} is a path with a zero byte at ${nul}: only an abstract name has one, in front`,
    )
  }
}

/** The name of a socket as the kernel gave it: null for none. */
export function decodeAddress(name: Buffer): string | Buffer | null {
  if (name.length === 0) return null
  return isUtf8(name) ? name.toString() : Buffer.from(name)
}

/** Whether two addresses are the same name. */
export function isSameAddress(a: Address, b: Address): boolean {
  if (typeof a === 'string' && typeof b === 'string') return a === b
  return Buffer.compare(bytesOf(a), bytesOf(b)) === 0
}

/** Whether an address is a path that depends on the working directory. */
export function isRelative(address: Address): boolean {
  const first = typeof address === 'string' ? address.charCodeAt(0) : address[0]
  return first !== SLASH && first !== 0
}

/** An address as messages show it: an abstract name's zero bytes as `@`, as the kernel's tools do. */
export function printableAddress(address: Address): string {
  const text = typeof address === 'string' ? address : Buffer.from(address).toString()
  return text.replaceAll('\0', '@')
}

const SLASH = 0x2f
const MAX_PORT = 65_535
const TCP_NAMES = only(['host', 'port'])
const FD_NAMES = only(['fd'])

function bytesOf(address: Address): Uint8Array {
  return typeof address === 'string' ? Buffer.from(address) : address
}

function isRecord(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !(value instanceof Uint8Array)
}

function typeName(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

/** A socket's name as native code gives it: null for none, undefined where there is no socket. */
export function decodeName(
  name: SocketName | null,
): string | Buffer | TcpAddress | null | undefined {
  if (name === null) return undefined
  const { unix, host, port } = name
  if (unix !== undefined) return decodeAddress(unix)
  return host === undefined || port === undefined ? undefined : { host, port }
}
