/**
 * What became of each descriptor of a set, one number each, so that a set costs no more than its
 * list of numbers:
 *
 * ```text
 *   fd >= 0   owned, and nobody but the set knows the number
 *   GONE -1   taken, handed over or closed
 *   -2 - fd   owned, and lent: somebody may be using the number
 * ```
 */
export type Entries = number[]

export const GONE = -1

/** The entry for a descriptor whose number was given out. */
export function lent(fd: number): number {
  return -2 - fd
}

/** The descriptor's number, lent or not. */
export function numberOf(entry: number): number {
  return entry < GONE ? -2 - entry : entry
}

export function isOpen(entry: number): boolean {
  return entry !== GONE
}

/** The largest number a descriptor can have. */
export const MAX_FD = 0x7fff_ffff

/** Whether a value can be a descriptor's number; whether one is open is for the kernel to say. */
export function isDescriptor(fd: unknown): fd is number {
  return typeof fd === 'number' && fd >>> 0 === fd && fd <= MAX_FD
}
