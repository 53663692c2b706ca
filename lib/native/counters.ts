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
  /** The sums of the counters of closed channels, by `Counter`; undefined before the first. */
  closed: undefined as Counters | undefined,
}

/** Adds the last counters of a channel to the totals. */
export function addToTotals(counters: Counters): void {
  const sums = totals.closed as number[] | undefined
  if (sums === undefined) {
    totals.closed = [...(counters as unknown as number[])] as unknown as Counters
    return
  }
  const last = counters as unknown as number[]
  for (let i = 0; i < last.length; i++) sums[i] = (sums[i] as number) + (last[i] as number)
}
