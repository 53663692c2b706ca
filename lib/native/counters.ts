import { COUNTERS, type Counter } from '#native'
import { table } from './memory.js'

/** The values of all counters of a channel, by `Counter`. */
export type Counters = Record<Counter, number>

/** The end of the counters, which are the last words of the table: two words each. */
const END = table.length

/** Reads a counter that native code has just written into the shared table. */
export function readCounter(counter: Counter): number {
  const at = COUNTERS + 2 * counter
  return ((table[at] as number) >>> 0) + (table[at + 1] as number) * 2 ** 32
}

/** Reads all counters that native code has just written into the shared table. */
export function readCounters(): Counters {
  const counters: number[] = []
  for (let at = COUNTERS; at < END; at += 2) {
    counters.push(((table[at] as number) >>> 0) + (table[at + 1] as number) * 2 ** 32)
  }
  return counters as unknown as Counters
}
