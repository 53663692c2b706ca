import { existsSync, statSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname } from 'node:path'
import type { Address, TcpAddress } from './address.js'
import type { SocketType } from './protocols.js'

const { ECONNREFUSED, ENOENT, EPROTOTYPE } = constants.errno

/**
 * Explains the kernel's error of connecting or sending to a Unix socket. `errno` may have either
 * sign. Returns undefined if there is nothing to add.
 */
export function peerHint(errno: number, address: Address, type: SocketType): string | undefined {
  const path = pathOf(address)
  switch (Math.abs(errno)) {
    case ENOENT:
      return path === undefined ? NO_SOCKET : (otherAddress(path) ?? missingHint(path))
    case ECONNREFUSED:
      if (path !== undefined && isOtherFile(path)) return NOT_A_SOCKET
      return type === 'dgram'
        ? 'no process has a socket open at this address'
        : 'no process listens at this address'
    case EPROTOTYPE:
      return `the socket at this address is not of type '${type}': set the option type, or choose another protocol`
    default:
      return undefined
  }
}

/** Explains that a file of another kind is at a path. */
export const NOT_A_SOCKET = 'the file at this path is not a socket'

const NO_SOCKET = 'no socket has this address'

/** Returns the path of an address; undefined for an abstract name. */
export function pathOf(address: Address): string | undefined {
  const text = typeof address === 'string' ? address : Buffer.from(address).toString()
  return text === '' || text.startsWith('\0') ? undefined : text
}

/** Explains that the directory of a path does not exist. */
export function missingDirectory(path: string): string {
  return `the directory ${dirname(path)} does not exist`
}

function missingHint(path: string): string {
  return existsSync(dirname(path)) ? NO_SOCKET : missingDirectory(path)
}

/** Explains how to write an address that was meant as one of another kind. */
function otherAddress(path: string): string | undefined {
  if (path.startsWith('@')) {
    return "no socket has this path: an abstract name begins with '\\0', not '@'"
  }
  const tcp = tcpAddressIn(path)
  if (tcp === undefined) return undefined
  const shown = `{ host: '${tcp.host}', port: ${tcp.port} }`
  return `no socket has this path: the address of a TCP socket is ${shown}`
}

/** Returns the TCP address that a path looks like: `localhost:80`, `[::1]:80`, `tcp://host:80`. */
export function tcpAddressIn(path: string): TcpAddress | undefined {
  const [, host, port] = /^(?:\w+:\/\/)?\[?([\w.:-]+?)\]?:(\d{1,5})\/?$/.exec(path) ?? []
  return host === undefined ? undefined : { host, port: Number(port) }
}

function isOtherFile(path: string): boolean {
  try {
    return !statSync(path).isSocket()
  } catch {
    return false
  }
}
