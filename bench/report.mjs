// @ts-check
/** Medians, ratios and tables. */

/** @param {number[]} numbers */
export function spread(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b)
  const half = sorted.length >> 1
  const median = sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2
  return { median, least: sorted[0], most: sorted[sorted.length - 1] }
}

/**
 * @typedef {import('./session.mjs').Result} Result
 * @typedef {object} Column
 * @property {string} unit
 * @property {(result: Result) => number} of
 * @property {(number: number) => string} show
 */

/** @type {Column} */
const RATE = { unit: '1,000 msgs/s', of: r => r.rate, show: thousands }
/** @type {Column} */
const CPU = { unit: 'CPU, ns', of: r => r.cpu, show: n => n.toFixed(0) }
/** @type {Column} */
const CONNECTIONS = { unit: '1,000/s', of: r => r.rate, show: thousands }
/** @type {Column} */
const P50 = { unit: 'p50, µs', of: r => r.p50 ?? Number.NaN, show: micros }
/** @type {Column} */
const P99 = { unit: 'p99, µs', of: r => r.p99 ?? Number.NaN, show: micros }
/** @type {Column} */
const CPU_MICROS = { unit: 'CPU, µs', of: r => r.cpu, show: micros }

/**
 * The columns of each kind of work. The ratios divide the values of the first column.
 * @type {{ [work in import('./scenario.mjs').Work]: [Column, ...Column[]] }}
 */
const COLUMNS = {
  oneway: [RATE, CPU],
  trips: [P50, P99, CPU_MICROS],
  lone: [
    { unit: 'µs/MiB', of: r => r.perMiB, show: micros },
    { unit: 'peak / size', of: r => r.peak, show: times },
  ],
  pairs: [CONNECTIONS, CPU_MICROS],
  connect: [P50, P99, CPU_MICROS],
  close: [CONNECTIONS, CPU_MICROS],
  accept: [CONNECTIONS, CPU_MICROS],
  idle: [
    { unit: 'bytes', of: r => r.resident, show: n => n.toFixed(0) },
    { unit: 'JS heap', of: r => r.heap, show: n => n.toFixed(0) },
  ],
}

/**
 * The results of a run in each round, and why it failed in a round.
 * @typedef {{ rounds: (Result | undefined)[], failed?: string | undefined }} Record
 */

/**
 * Returns the medians and ratios of a scenario.
 * @param {import('./scenario.mjs').Scenario} scenario
 * @param {Map<string, Record>} records by name of the run
 */
export function summarize({ title, work, ratios: targets }, records) {
  const [main, ...more] = COLUMNS[work]
  const runs = [...records].map(([name, { rounds, failed }]) => {
    const results = rounds.filter(result => result !== undefined)
    const medians = more.map(column => spread(results.map(column.of)).median)
    return { name, failed, more: medians, ...spread(results.map(main.of)), rounds: results.length }
  })
  const ratios = targets.map(({ of, to, least, most }) => {
    const upper = records.get(of)?.rounds ?? []
    const lower = (to && records.get(to)?.rounds) || []
    // Both results are of the same round, so that a disturbance that affected both cancels out.
    const both = upper.flatMap((result, round) => {
      const other = to ? lower[round] : result
      return result && other ? [{ result, other }] : []
    })
    const each = both.map(({ result, other }) =>
      to ? main.of(result) / main.of(other) : result.peak,
    )
    const ratio = spread(each)
    // In a memory measurement, the CPU time is that of the garbage collections.
    const comparesCpu = to !== undefined && work !== 'idle'
    const cpu = comparesCpu
      ? spread(both.map(({ result, other }) => result.cpu / other.cpu)).median
      : Number.NaN
    const met = least ? ratio.median >= least : most ? ratio.median <= most : undefined
    const name = to ? `${of} / ${to}` : `${of}, peak / size`
    return { name, target: { least, most }, met, ...ratio, cpu, rounds: each.length }
  })
  return { title, work, runs, ratios }
}

/** @param {ReturnType<typeof summarize>} summary */
export function print({ title, work, runs, ratios }) {
  const [main, ...more] = COLUMNS[work]
  const results = runs.map(run => {
    if (run.rounds === 0) return [run.name, `unavailable: ${run.failed ?? 'not run'}`]
    const [median, least, most] = [run.median, run.least, run.most].map(main.show)
    const medians = more.map((column, i) => column.show(run.more[i]))
    return [run.name, median, `${least} - ${most}`, ...medians, run.failed ? `! ${run.failed}` : '']
  })
  console.log(`\n## ${title}\n`)
  table([['', main.unit, 'least - most', ...more.map(column => column.unit), ''], ...results])

  const rows = ratios.map(({ name, rounds, median, least, most, cpu, target, met }) => {
    const bound = target.least ? `>= ${target.least}` : target.most ? `<= ${target.most}` : ''
    if (rounds === 0) return [name, 'unavailable', '', '', bound, '']
    const verdict = met === undefined ? '' : met ? 'met' : 'MISSED'
    const used = Number.isNaN(cpu) ? '' : times(cpu)
    return [name, times(median), `${times(least)} - ${times(most)}`, used, bound, verdict]
  })
  console.log('')
  table([['per-round ratio', 'median', 'least - most', 'of CPU', 'target', ''], ...rows])
}

/** Prints aligned columns. @param {string[][]} rows the first is the header */
function table(rows) {
  const widths = rows[0].map((_, i) =>
    Math.max(...rows.map(row => (row.length > 2 ? (row[i] ?? '').length : 0))),
  )
  widths[0] = Math.max(...rows.map(row => row[0].length))
  for (const row of rows) {
    const cells = row.map((cell, i) =>
      i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]),
    )
    console.log(`  ${cells.join('  ').trimEnd()}`)
  }
}

/** @param {number} rate */
function thousands(rate) {
  return (rate / 1000).toFixed(rate < 100_000 ? 1 : 0)
}

/** @param {number} ns */
function micros(ns) {
  return (ns / 1000).toFixed(1)
}

/** @param {number} ratio */
function times(ratio) {
  return `${ratio.toFixed(ratio < 10 ? 2 : 1)}x`
}
