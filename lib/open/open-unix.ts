import { dirname } from 'node:path'
import type { PathOptions } from '#native'
import { type Address, printableAddress } from '../options/address.js'
import type { CheckedOptions } from '../options/check.js'
import { missingDirectory, pathOf, peerHint } from '../options/peer-hints.js'
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
  const hint = isAboutPeer
    ? peerHint(errno, address, type)
    : pathHint(`${syscall} ${code}`, pathOf(address), unlink)
  return systemError(errno, syscall, { path, hint })
}

/** Explains an error of binding a path, if the address is one. */
function pathHint(
  failure: string,
  path: string | undefined,
  unlink: CheckedOptions['unlink'],
): string | undefined {
  if (path === undefined) return undefined
  switch (failure) {
    case 'open ENOENT':
    case 'bind ENOENT':
      return missingDirectory(path)
    case 'open ENOTDIR':
    case 'bind ENOTDIR':
      return `${dirname(path)} is not a directory`
    case 'open EACCES':
    case 'bind EACCES':
      return `binding needs write permission for the directory ${dirname(path)}`
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

function isSystemError(error: unknown): error is SystemError {
  return typeof (error as Partial<SystemError>).syscall === 'string'
}
