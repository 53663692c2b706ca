import { COUNTERS, type Counter } from '#native'
import { table } from './memory.js'

/** The values of all counters of a channel, by `Counter`. */
export type Counters = Record<Counter, number>

/** The end of the counters, which are the last words of the table: two words each. */
const END = table.length

/** Reads a counter that native code has just written into the shared table. */
export function readCounter(counter: Counter): number {
  return readAt(COUNTERS + 2 * counter)
}

/** Reads all counters that native code has just written into the shared table. */
export function readCounters(): Counters {
  const counters: number[] = []
  for (let at = COUNTERS; at < END; at += 2) {
    counters.push(readAt(at))
  }
  return counters as unknown as Counters
}

/** Reads the low and the high word of a number. */
function readAt(at: number): number {
  return ((table[at] as number) >>> 0) + (table[at + 1] as number) * 2 ** 32
}

/** What the channels and listeners of this thread have done, without the counters of open channels. */
export const totals = {
  /** Channels that were made. */
  opened: 0,
  /** Open listeners. */
  listeners: 0,
  /** Connections that listeners have accepted. */
  accepted: 0,
  /** Accepted connections that were closed before they were delivered. */
  dropped: 0,
  /** The sums of the counters of closed channels, by `Counter`; empty before the first. */
  closed: [] as number[],
}

/** Adds the last counters of a channel to the totals. */
export function addToTotals(counters: Counters): void {
  const { closed } = totals
  ;(counters as unknown as number[]).forEach((value, i) => {
    closed[i] = (closed[i] ?? 0) + value
  })
}
