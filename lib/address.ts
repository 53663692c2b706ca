import { isUtf8 } from 'node:buffer'
import { FdwireError } from './errors.js'

/**
 * The name of a Unix socket: a path, or an abstract name with its leading `'\0'`.
 *
 * A Buffer where the name is not UTF-8.
 */
export type Address = string | Uint8Array

/** The longest name that Linux takes (bytes; an abstract one's leading NUL counts). */
export const MAX_ADDRESS = 108

/** An address as the kernel is to get it. */
export function encodeAddress(address: unknown, what: string): Uint8Array {
  if (typeof address !== 'string' && !(address instanceof Uint8Array)) {
    throw new TypeError(
      `${what} must be a path, '\\0' and an abstract name, or a Buffer, not ${typeName(address)}`,
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

function bytesOf(address: Address): Uint8Array {
  return typeof address === 'string' ? Buffer.from(address) : address
}

function typeName(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}
