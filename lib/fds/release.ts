import { isDescriptor } from '../util/descriptor.js'
import { closeDuplicate, isOwned } from './descriptors.js'
import { FdSet } from './fdset.js'

/** An object that owns a descriptor and can close it: a FileHandle. */
export interface Closable {
  readonly fd: number
  close(): unknown
}

/**
 * Closes descriptors that the program has handed over.
 *
 * A set closes its own. A number is closed unless a set or a channel owns it, or it is one of stdio
 * (0 to 2). An object for which `isClosable` returns true is closed by its own `close()`. All others
 * are left to their owner.
 *
 * Never fails: a descriptor that is not open was closed before.
 */
export async function releaseFds(
  fds: FdSet | readonly unknown[],
  isClosable: (source: unknown) => source is Closable = isFileHandle,
): Promise<void> {
  if (fds instanceof FdSet) closeSet(fds)
  else if (fds.length > 0) {
    // A descriptor that occurs twice is closed once.
    await Promise.all(Array.from(new Set(fds), source => releaseOne(source, isClosable)))
  }
}

/** Closes a set. Ignores errors of descriptors that were closed outside the set. */
export function closeSet(fds: FdSet): void {
  try {
    fds.close()
  } catch {
    // The set has closed all others.
  }
}

/** Whether a value is a FileHandle of `node:fs/promises`, whose class Node does not export. */
function isFileHandle(source: unknown): source is Closable {
  if (typeof source !== 'object' || source === null) return false
  const { close } = source as Partial<Closable>
  return source.constructor?.name === 'FileHandle' && typeof close === 'function'
}

async function releaseOne(
  source: unknown,
  isClosable: (source: unknown) => source is Closable,
): Promise<void> {
  try {
    if (source instanceof FdSet) closeSet(source)
    else if (typeof source === 'number') releaseNumber(source)
    else if (isClosable(source)) await source.close()
  } catch {
    // The descriptor is not open.
  }
}

function releaseNumber(fd: number): void {
  if (isDescriptor(fd) && fd > 2 && !isOwned(fd)) closeDuplicate(fd)
}
