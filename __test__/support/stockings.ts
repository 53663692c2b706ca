/** Stockings for tests. */
import { type Channel, type FdwireError, pair } from 'fdwire'
import { Stocking, type StockingOptions } from 'fdwire/stockings'
import { loopTurns, track } from './channels.js'
import { afterTest, rawStreamPair } from './streams.js'

/** A message of stockings. */
export type Value = string | Buffer
export const STOCKINGS = { protocol: 'stockings' } as const
export const MIB = 1024 * 1024

/** Registers a Stocking or a subclass to be destroyed after the test, and returns it. */
export function destroyAfterTest<S extends Stocking<unknown>>(stocking: S): S {
  afterTest(() => stocking.destroy())
  return stocking
}

/** Returns two connected Stockings. */
export function stockingPair(options?: StockingOptions): [Stocking, Stocking] {
  const [a, b] = pair(STOCKINGS).map(track) as [Channel<Value>, Channel<Value>]
  return [
    destroyAfterTest(new Stocking(a, options as object)),
    destroyAfterTest(new Stocking(b, options as object)),
  ]
}

/** Returns a raw channel and the Stocking that it is connected to. */
export function rawPair(options?: object): [Channel<Buffer>, Stocking] {
  const [bytes, channel] = rawStreamPair(STOCKINGS)
  return [bytes, destroyAfterTest(new Stocking(channel as Channel<Value>, options))]
}

/** Waits for the next message and returns what `read` returns. */
export async function readNext<R>(stocking: Stocking<R>): Promise<R> {
  for (;;) {
    const value = stocking.read()
    if (value !== null) return value
    await loopTurns(1)
  }
}

/** Records the events of a Stocking in order, an error by its code. */
export function recordStockingEvents(stocking: Stocking<unknown>): unknown[] {
  const events: unknown[] = []
  for (const event of ['ready', 'readable', 'end', 'close'] as const) {
    stocking.on(event, () => events.push(event))
  }
  stocking.on('error', error => events.push((error as FdwireError).code ?? error.message))
  return events
}

/** Resolves at `'close'`. Unlike `once` of node:events, it does not reject at `'error'`. */
export const whenStockingClosed = (stocking: Stocking<unknown>) =>
  new Promise<void>(resolve => stocking.on('close', resolve))
