import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import type { PathOptions } from '#native'
import { type Address, printableAddress } from '../options/address.js'
import type { CheckedOptions, SocketType } from '../options/check.js'
import { type SystemError, systemError } from '../util/errors.js'
import { retry } from './retry.js'

/** The addresses of a Unix socket. */
interface Addresses {
  /** The address to bind it to, if any. */
  local?: Address | undefined
  /** The address to connect it to, if any. */
  peer?: Address | undefined
}

/** The system calls whose errors concern the peer's address, if there is one. */
const ABOUT_PEER = new Set(['connect', 'socket'])

/**
 * Opens a Unix socket: calls `attempt` until the lock on the directory of the local path is free
 * and the peer's backlog has room, and returns its result.
 *
 * Every call that binds or connects a Unix socket uses this function, so that paths, locks,
 * backlogs and errors are handled in one way.
 *
 * # Errors
 * ERR_FDWIRE_TIMEOUT; AbortError; those of `attempt`, with the `path` that they concern.
 */
export async function openUnix(
  call: string,
  addresses: Addresses,
  checked: CheckedOptions,
  attempt: (path: PathOptions) => number,
): Promise<number> {
  const { local = '', peer = '' } = addresses
  const path: PathOptions = { mode: checked.mode, unlink: checked.unlink || 'never' }
  const late = ({ syscall }: SystemError) =>
    syscall === 'flock'
      ? `${call}: the lock on the directory of ${printableAddress(local)} was not free`
      : `${call}: the backlog of ${printableAddress(peer)} had no room`
  try {
    return await retry(checked, late, () => attempt(path))
  } catch (error) {
    throw isSystemError(error) ? withPath(error, addresses, checked) : error
  }
}

/** Returns the same error with the path that it concerns, and a hint. */
function withPath(
  { errno, syscall, code }: SystemError,
  { local, peer }: Addresses,
  { unlink, type }: CheckedOptions,
): SystemError {
  const isAboutPeer = peer !== undefined && (!local || ABOUT_PEER.has(syscall))
  const address = isAboutPeer ? peer : (local as Address)
  const path = typeof address === 'string' ? address : Buffer.from(address)
  const isPath = path.length > 0 && path[0] !== '\0' && path[0] !== 0
  const hint = isAboutPeer
    ? peerHint(code, isPath ? path : undefined, type)
    : isPath
      ? pathHint(`${syscall} ${code}`, path, unlink)
      : undefined
  return systemError(errno, syscall, hint === undefined ? { path } : { path, hint })
}

/** Explains an error of connecting to a peer. `path`: its path, unless it has an abstract name. */
function peerHint(
  code: string,
  path: string | Buffer | undefined,
  type: SocketType,
): string | undefined {
  switch (code) {
    case 'ENOENT':
      return path === undefined || existsSync(directoryOf(path))
        ? 'no socket has this address'
        : missingDirectory(path)
    case 'ECONNREFUSED':
      return type === 'dgram'
        ? 'no process has a socket open at this address'
        : 'no process listens at this address'
    case 'EPROTOTYPE':
      return `the socket at this address is not of type '${type}': set the option type, or choose another protocol`
    default:
      return undefined
  }
}

/** Explains an error of binding a path. */
function pathHint(
  failure: string,
  path: string | Buffer,
  unlink: CheckedOptions['unlink'],
): string | undefined {
  switch (failure) {
    case 'open ENOENT':
    case 'bind ENOENT':
      return missingDirectory(path)
    case 'open ENOTDIR':
    case 'bind ENOTDIR':
      return `${directoryOf(path)} is not a directory`
    case 'open EACCES':
    case 'bind EACCES':
      return `binding needs write permission for the directory ${directoryOf(path)}`
    case 'bind EEXIST':
      return 'the path exists and is not a socket'
    case 'bind EADDRINUSE':
      return unlink === false
        ? 'a socket has this path, and unlink is false'
        : 'a process has a socket open at this path'
    default:
      return undefined
  }
}

function missingDirectory(path: string | Buffer): string {
  return `the directory ${directoryOf(path)} does not exist`
}

function directoryOf(path: string | Buffer): string {
  return dirname(path.toString())
}

function isSystemError(error: unknown): error is SystemError {
  return typeof (error as Partial<SystemError>).syscall === 'string'
}
