// @ts-check
/** The figures of each kind of work, and how they are shown. */

/**
 * @typedef {object} Column
 * @property {'rate' | 'cpu' | 'p50' | 'p99' | 'perMiB' | 'peak' | 'resident' | 'heap'} key a field
 *   of `Result`
 * @property {string} unit
 * @property {(number: number) => string} show
 */

/** @type {Column} */
const RATE = { key: 'rate', unit: '1,000 msgs/s', show: thousands }
/** @type {Column} */
const CONNECTIONS = { key: 'rate', unit: '1,000/s', show: thousands }
/** @type {Column} */
const CPU = { key: 'cpu', unit: 'CPU, ns', show: whole }
/** @type {Column} */
const CPU_MICROS = { key: 'cpu', unit: 'CPU, µs', show: micros }
/** @type {Column} */
const P50 = { key: 'p50', unit: 'p50, µs', show: micros }
/** @type {Column} */
const P99 = { key: 'p99', unit: 'p99, µs', show: micros }

/**
 * The columns of each kind of work. The ratios divide the values of the first column.
 * @type {{ [work in import('./scenario.mjs').Work]: [Column, ...Column[]] }}
 */
export const COLUMNS = {
  oneway: [RATE, CPU],
  trips: [P50, P99, CPU_MICROS],
  lone: [
    { key: 'perMiB', unit: 'µs/MiB', show: micros },
    { key: 'peak', unit: 'peak / size', show: times },
  ],
  pairs: [CONNECTIONS, CPU_MICROS],
  connect: [P50, P99, CPU_MICROS],
  close: [CONNECTIONS, CPU_MICROS],
  accept: [CONNECTIONS, CPU_MICROS],
  http: [CONNECTIONS, CPU_MICROS],
  idle: [
    { key: 'resident', unit: 'bytes', show: whole },
    { key: 'heap', unit: 'JS heap', show: whole },
  ],
}

/** @param {number} ratio */
export function times(ratio) {
  return `${ratio.toFixed(ratio < 10 ? 2 : 1)}x`
}

/** @param {number} rate */
function thousands(rate) {
  return (rate / 1000).toFixed(rate < 100_000 ? 1 : 0)
}

/** @param {number} ns */
function micros(ns) {
  return (ns / 1000).toFixed(1)
}

/** @param {number} number */
function whole(number) {
  return number.toFixed(0)
}
