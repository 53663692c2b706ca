/** What an FdSet checks, and what it says of its descriptors. */

import { constants } from 'node:os'
import { environment } from '../native/environment.js'
import { findOwner } from '../native/owners.js'
import { describeValue } from '../util/checks.js'
import { isDescriptor, MAX_FD } from '../util/descriptor.js'
import { FdwireError, type SystemError, systemError } from '../util/errors.js'

/** Checks one of the numbers that a set is made of. */
export function checkNumber(fd: unknown, index: number, all: unknown[]): void {
  if (typeof fd !== 'number') {
    throw new TypeError(`fds[${index}] must be a descriptor number, not ${describeValue(fd)}`)
  }
  if (!isDescriptor(fd)) {
    throw new RangeError(`fds[${index}] must be a descriptor number from 0 to ${MAX_FD}, not ${fd}`)
  }
  if (all.indexOf(fd) !== index) {
    throw new RangeError(`fds[${index}] is ${fd} again: a set would close it twice`)
  }
}

/** Throws EBUSY for a descriptor that a set or channel of any copy of the package owns. */
export function checkUnowned(fd: number, index: number): void {
  const owner = findOwner(fd)
  if (owner === undefined) return
  const [what, remedy] = owner.kind === 'FdSet' ? ['an FdSet', 'take'] : ['a channel', 'detach']
  const where = owner.isForeign
    ? 'of another copy of fdwire in this process'
    : `already: ${remedy}() gives it away`
  const hint = `descriptor ${fd} belongs to ${what} ${where}`
  throw systemError(constants.errno.EBUSY, 'fcntl', { hint, index })
}

/** Throws EBADF with the index of a descriptor that is not open. */
export function checkOpen(fd: number, index: number): void {
  try {
    environment.kindOf(fd)
  } catch (cause) {
    const { errno, syscall } = cause as SystemError
    const hint = `fds[${index}] (descriptor ${fd}) is not open`
    throw systemError(errno, syscall, { hint, index })
  }
}

/** Its source text is the message of the error of structuredClone. */
export function refuseToSerializeFdSet(): never {
  throw new TypeError(
    'An FdSet cannot be serialized: send its descriptors with the option fds of send()',
  )
}

/** Describes a descriptor of a set for people. */
export function describeFd(fd: number): string {
  try {
    return `${fd} (${environment.kindOf(fd)})`
  } catch {
    return `${fd} (closed elsewhere)`
  }
}

/** Returns the error for an entry that is not in the set any more. */
export function absentError(index: number): FdwireError {
  return new FdwireError(
    'ERR_FDWIRE_FD_GONE',
    `Descriptor ${index} of the FdSet was taken, given to Node or closed`,
    { index },
  )
}
