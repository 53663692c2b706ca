// @ts-check
/** Medians and tables. */

/** @param {number[]} numbers */
export function spread(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b)
  const half = sorted.length >> 1
  const median = sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2
  return { median, least: sorted[0], most: sorted[sorted.length - 1] }
}

/**
 * What counts of each kind of work, and what stands beside it.
 * @typedef {import('./session.mjs').Result} Result
 * @typedef {object} Column
 * @property {string} unit
 * @property {(result: Result) => number} of
 * @property {(number: number) => string} show
 * @type {{ [work in import('./scenario.mjs').Scenario['work']]: { main: Column, beside?: Column } }}
 */
const COLUMNS = {
  oneway: { main: { unit: '1,000 msgs/s', of: r => r.rate, show: thousands } },
  trips: {
    main: { unit: 'p50, µs', of: r => r.p50 ?? Number.NaN, show: micros },
    beside: { unit: 'p99, µs', of: r => r.p99 ?? Number.NaN, show: micros },
  },
  accept: { main: { unit: '1,000/s', of: r => r.rate, show: thousands } },
  idle: { main: { unit: 'bytes', of: r => r.resident ?? Number.NaN, show: n => n.toFixed(0) } },
  lone: {
    main: { unit: 'µs a MiB', of: r => r.perMiB, show: micros },
    beside: { unit: 'peak / size', of: r => r.peak ?? Number.NaN, show: times },
  },
}

/**
 * @typedef {(import('./session.mjs').Result | undefined)[]} Rounds a run's result in each round
 * @typedef {{ rounds: Rounds, failed?: string | undefined }} Record
 */

/**
 * What a scenario came to, as rows.
 * @param {import('./scenario.mjs').Scenario} scenario
 * @param {Map<string, Record>} records by name of the run
 */
export function summarize({ title, work, ratios: wanted }, records) {
  const { main, beside } = COLUMNS[work]
  const runs = [...records].map(([name, { rounds, failed }]) => {
    const results = rounds.filter(result => result !== undefined)
    const second = beside ? spread(results.map(beside.of)).median : undefined
    return { name, failed, beside: second, ...spread(results.map(main.of)), rounds: results.length }
  })
  const ratios = wanted.map(({ of, to, least, most }) => {
    const upper = records.get(of)?.rounds ?? []
    const lower = (to && records.get(to)?.rounds) || []
    // Only a round's own two results are divided: what both suffered cancels out.
    const each = upper.flatMap((result, round) => {
      if (!result) return []
      if (!to) return [result.peak ?? Number.NaN]
      const other = lower[round]
      return other ? [main.of(result) / main.of(other)] : []
    })
    const ratio = spread(each)
    const met = least ? ratio.median >= least : most ? ratio.median <= most : undefined
    const name = to ? `${of} / ${to}` : `${of}, peak / size`
    return { name, target: { least, most }, met, ...ratio, rounds: each.length }
  })
  return { title, work, runs, ratios }
}

/** @param {ReturnType<typeof summarize>} summary */
export function print({ title, work, runs, ratios }) {
  const { main, beside } = COLUMNS[work]
  const speed = runs.map(run => {
    if (run.rounds === 0) return [run.name, `unavailable: ${run.failed ?? 'not run'}`]
    const [median, least, most] = [run.median, run.least, run.most].map(main.show)
    const second = beside ? [beside.show(run.beside ?? Number.NaN)] : []
    return [run.name, median, `${least} - ${most}`, ...second, run.failed ? `! ${run.failed}` : '']
  })
  console.log(`\n## ${title}\n`)
  table([['', main.unit, 'least - most', ...(beside ? [beside.unit] : []), ''], ...speed])

  const rows = ratios.map(({ name, rounds, median, least, most, target, met }) => {
    const wanted = target.least ? `>= ${target.least}` : target.most ? `<= ${target.most}` : ''
    if (rounds === 0) return [name, 'unavailable', '', wanted, '']
    const verdict = met === undefined ? '' : met ? 'met' : 'MISSED'
    return [name, times(median), `${times(least)} - ${times(most)}`, wanted, verdict]
  })
  console.log('')
  table([['per-round ratio', 'median', 'least - most', 'target', ''], ...rows])
}

/** @param {string[][]} rows the first is the head */
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
