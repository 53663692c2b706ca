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
