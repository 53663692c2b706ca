import { environment } from '../native/environment.js'
import { findOwner } from '../native/owners.js'
import { MAX_MESSAGE_FDS } from '../util/descriptor.js'
import { collectFds, type FdSource } from './borrow.js'
import { FdSet } from './fdset.js'

/** Whether an FdSet or a channel owns a descriptor, and closes it. */
export function isOwned(fd: number): boolean {
  return findOwner(fd) !== undefined
}

/** Whether a number is that of an open descriptor. */
export function isOpen(fd: number): boolean {
  try {
    environment.kindOf(fd)
    return true
  } catch {
    return false
  }
}

/**
 * Duplicates a descriptor; the duplicate is close-on-exec.
 *
 * # Errors
 * EBADF, EMFILE.
 */
export function duplicateFd(fd: number): number {
  return environment.duplicate(fd)
}

/** Closes a duplicate that `duplicateFd` returned, if neither a channel nor an FdSet owns it. */
export function closeDuplicate(fd: number): void {
  environment.closeDuplicate(fd)
}

/**
 * Duplicates descriptors, at most `max`, to send later, so that the caller may close its own.
 *
 * # Errors
 * Those of `collectFds`; EBADF, EMFILE. If this throws, no duplicate stays open.
 */
export function duplicateFds(fds: FdSet | Iterable<FdSource>, max = MAX_MESSAGE_FDS): FdSet {
  const numbers = new Int32Array(max)
  const duplicates: number[] = []
  try {
    for (const fd of numbers.subarray(0, collectFds(fds, numbers))) duplicates.push(duplicateFd(fd))
    return FdSet.from(duplicates)
  } catch (error) {
    for (const fd of duplicates) closeDuplicate(fd)
    throw error
  }
}
