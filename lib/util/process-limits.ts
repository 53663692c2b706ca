import { readFileSync } from 'node:fs'

/**
 * Returns a soft limit of this process, as /proc/self/limits names it: `'Max open files'`. Infinity if
 * there is none.
 *
 * # Errors
 * ENOENT if /proc is not mounted; EMFILE, ENFILE.
 */
export function softLimit(name: string): number {
  const line = new RegExp(`^${name} +(\\S+)`, 'm').exec(readFileSync('/proc/self/limits', 'utf8'))
  const soft = Number(line?.[1])
  return Number.isNaN(soft) ? Number.POSITIVE_INFINITY : soft
}
