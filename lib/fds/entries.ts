/**
 * The state of each descriptor of a set, as one number, so that a set needs no more memory than a
 * list of its descriptors:
 *
 * ```text
 *   fd >= 0      owned; no other code knows the number
 *   ABSENT (-1)  taken, given to Node or closed
 *   -2 - fd      owned and lent: the program has the number and may be using it
 * ```
 */
export type Entries = number[]

/** The entry of a descriptor that the set no longer owns. */
export const ABSENT = -1

/** Returns the entry of a descriptor whose number was lent to the program. */
export function lentEntry(fd: number): number {
  return -2 - fd
}

/** Returns the descriptor of an entry that is not absent, lent or not. */
export function fdOf(entry: number): number {
  return entry < ABSENT ? -2 - entry : entry
}

/** Whether the set owns the descriptor of an entry. */
export function isPresent(entry: number): boolean {
  return entry !== ABSENT
}
