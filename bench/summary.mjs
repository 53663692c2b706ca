// @ts-check
/** Medians and ratios, and how they are printed. */

import { COLUMNS, times } from './columns.mjs'

/**
 * The median, quartiles and range of results; NaN for an empty list.
 * @typedef {{ median: number, q1: number, q3: number, least: number, most: number }} Spread
 */

/** @param {number[]} numbers @returns {Spread} */
export function spread(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b)
  /** @param {number} part */
  const quantile = part => {
    const at = (sorted.length - 1) * part
    const low = sorted[Math.floor(at)] ?? Number.NaN
    return low + ((sorted[Math.ceil(at)] ?? low) - low) * (at % 1)
  }
  const [median, q1, q3, least, most] = [0.5, 0.25, 0.75, 0, 1].map(quantile)
  return { median, q1, q3, least, most }
}

/**
 * The results of a run in each round, and why it failed in a round.
 * @typedef {import('./session.mjs').Result} Result
 * @typedef {{ rounds: (Result | undefined)[], failed?: string | undefined }} Record
 *
 * @typedef {object} RunSummary
 * @property {string} name
 * @property {string} [failed] why a round has no result
 * @property {number} rounds those that have a result
 * @property {{ [key in import('./columns.mjs').Column['key']]?: Spread }} figures in the units of
 *   `Result`
 *
 * @typedef {object} RatioSummary
 * @property {string} of name of the run whose result is divided
 * @property {string} [to] name of the run that it is divided by
 * @property {{ least?: number, most?: number }} target
 * @property {number} rounds those in which both have a result
 * @property {Spread} ratio of the rounds' ratios
 * @property {number} [cpu] median of the rounds' ratios of CPU time
 *
 * @typedef {Pick<import('./scenario.mjs').Scenario, 'title' | 'group' | 'work' | 'size' | 'fds'> &
 *   { runs: RunSummary[], ratios: RatioSummary[] }} Summary
 */

/**
 * Returns the medians and ratios of a scenario.
 * @param {import('./scenario.mjs').Scenario} scenario
 * @param {Map<string, Record>} records by name of the run
 * @returns {Summary}
 */
export function summarize({ title, group, work, size, fds, ratios }, records) {
  return {
    ...{ title, group, work, size, fds },
    runs: [...records].map(([name, record]) => summarizeRun(name, record, work)),
    ratios: ratios.map(ratio => summarizeRatio(ratio, records, work)),
  }
}

/**
 * @param {string} name
 * @param {Record} record
 * @param {import('./scenario.mjs').Work} work
 * @returns {RunSummary}
 */
function summarizeRun(name, { rounds, failed }, work) {
  const results = rounds.filter(result => result !== undefined)
  const figures = Object.fromEntries(
    COLUMNS[work].map(({ key }) => [key, spread(results.map(result => result[key] ?? Number.NaN))]),
  )
  return { name, ...(failed ? { failed } : {}), rounds: results.length, figures }
}

/**
 * @param {import('./scenario.mjs').Ratio} ratio
 * @param {Map<string, Record>} records
 * @param {import('./scenario.mjs').Work} work
 * @returns {RatioSummary}
 */
function summarizeRatio({ of, to, ...target }, records, work) {
  const [{ key }] = COLUMNS[work]
  const upper = records.get(of)?.rounds ?? []
  const lower = (to && records.get(to)?.rounds) || []
  // Both results are of the same round, so that a disturbance that affected both cancels out.
  const both = upper.flatMap((result, round) => {
    const other = to ? lower[round] : result
    return result && other ? [{ result, other }] : []
  })
  const each = both.map(({ result, other }) =>
    to ? (result[key] ?? Number.NaN) / (other[key] ?? Number.NaN) : result.peak,
  )
  const cpu = spread(both.map(({ result, other }) => result.cpu / other.cpu)).median
  // In a memory measurement, the CPU time is that of the garbage collections.
  const comparesCpu = to !== undefined && work !== 'idle' && !Number.isNaN(cpu)
  return {
    ...(to ? { of, to } : { of }),
    target,
    rounds: each.length,
    ratio: spread(each),
    ...(comparesCpu ? { cpu } : {}),
  }
}

/**
 * Returns whether a ratio meets its target, or undefined if it has none.
 * @param {RatioSummary} summary
 */
export function isMet({ target: { least, most }, ratio: { median } }) {
  return least ? median >= least : most ? median <= most : undefined
}

/** @param {Summary} summary */
export function print({ title, work, runs, ratios }) {
  const [main, ...more] = COLUMNS[work]
  const results = runs.map(({ name, failed, rounds, figures }) => {
    if (rounds === 0) return [name, `unavailable: ${failed ?? 'not run'}`]
    const { median, least, most } = /** @type {Spread} */ (figures[main.key])
    const medians = more.map(({ key, show }) => show(figures[key]?.median ?? Number.NaN))
    const range = `${main.show(least)} - ${main.show(most)}`
    return [name, main.show(median), range, ...medians, failed ? `! ${failed}` : '']
  })
  console.log(`\n## ${title}\n`)
  table([['', main.unit, 'least - most', ...more.map(column => column.unit), ''], ...results])

  const rows = ratios.map(summary => {
    const { of, to, target, rounds, ratio, cpu } = summary
    const name = to ? `${of} / ${to}` : `${of}, peak / size`
    const bound = target.least ? `>= ${target.least}` : target.most ? `<= ${target.most}` : ''
    if (rounds === 0) return [name, 'unavailable', '', '', bound, '']
    const met = isMet(summary)
    const verdict = met === undefined ? '' : met ? 'met' : 'MISSED'
    const range = `${times(ratio.least)} - ${times(ratio.most)}`
    return [name, times(ratio.median), range, cpu ? times(cpu) : '', bound, verdict]
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
