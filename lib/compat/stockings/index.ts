/** The API of the Python package `stockings`: text and bytes over a stream, after a handshake. */

export { EOFError, NotReady } from './errors.js'
export { Stocking } from './stocking.js'
export type { StockingEvents, StockingOptions, Value } from './types.js'
