import { environment } from '../native/environment.js'
import { checkCallOptions } from '../options/check.js'
import { checkBoolean } from '../util/checks.js'
import type { Kind } from '../util/descriptor.js'
import { type SystemError, systemError } from '../util/errors.js'
import { NO_OPTIONS } from '../util/no-options.js'
import { parseNumber } from './environment.js'

/** The first descriptor that a service manager passes (SD_LISTEN_FDS_START). */
const FIRST = 3

/** The name of a descriptor if the service manager gives none, as in sd_listen_fds(3). */
const NO_NAME = 'unknown'

/** Options of {@link listenFds}. */
export interface ListenFdsOptions {
  /**
   * Whether to remove the variables from the environment, so that child processes do not take them
   * for theirs, and the next call returns an empty array (true).
   */
  unset?: boolean | undefined
}

/** A descriptor that the service manager has passed to this process. */
export interface PassedFd {
  /** Its number. It belongs to the caller. */
  fd: number
  /** The name in the socket unit (`FileDescriptorName=`), or that it was stored under. */
  name: string
  /** What it refers to: `'unix-listener'`, `'tcp-listener'`, `'unix-dgram'` … */
  kind: Kind
}

/**
 * Returns the descriptors that the service manager has passed to this process, by socket activation
 * or from its store; an empty array if there are none.
 *
 * They become close-on-exec. `listen({ fd })`, `bind({ fd })` and `adopt(fd)` take them.
 *
 * # Errors
 * RangeError for invalid variables, EBADF for a descriptor that is not open; TypeError.
 */
export function listenFds(options: ListenFdsOptions = NO_OPTIONS): PassedFd[] {
  checkCallOptions('listenFds', options, ['unset'])
  const unset = checkBoolean('unset', options.unset, true)
  try {
    return passedFds()
  } finally {
    if (unset) {
      for (const name of ['PID', 'PIDFDID', 'FDS', 'FDNAMES']) delete process.env[`LISTEN_${name}`]
    }
  }
}

function passedFds(): PassedFd[] {
  const count = parseNumber('LISTEN_FDS') ?? 0
  if (parseNumber('LISTEN_PID') !== process.pid || count === 0) return []
  const { LISTEN_FDNAMES } = process.env
  const names = LISTEN_FDNAMES ? LISTEN_FDNAMES.split(':') : []
  if (names.length > 0 && names.length !== count) {
    throw new RangeError(
      `LISTEN_FDNAMES has ${names.length} names for ${count} descriptors (LISTEN_FDS)`,
    )
  }
  return Array.from({ length: count }, (_, index) => passedFd(FIRST + index, names[index]))
}

function passedFd(fd: number, name = NO_NAME): PassedFd {
  try {
    environment.setCloseOnExec(fd)
    return { fd, name, kind: environment.kindOf(fd) as Kind }
  } catch (error) {
    const { errno, syscall } = error as SystemError
    throw systemError(errno, syscall, { hint: `LISTEN_FDS promises descriptor ${fd}` })
  }
}
