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
 * @typedef {(import('./session.mjs').Result | undefined)[]} Rounds a run's result in each round
 * @typedef {{ rounds: Rounds, failed?: string | undefined }} Record
 */

/**
 * What a scenario came to, as rows.
 * @param {import('./scenarios.mjs').Scenario} scenario
 * @param {Map<string, Record>} records by name of the run
 */
export function summarize(scenario, records) {
  const measure = scenario.trips
    ? (/** @type {import('./session.mjs').Result} */ result) => result.p50 ?? Number.NaN
    : (/** @type {import('./session.mjs').Result} */ result) => result.rate
  const runs = [...records].map(([name, { rounds, failed }]) => {
    const results = rounds.filter(result => result !== undefined)
    const p99 = scenario.trips ? spread(results.map(r => r.p99 ?? Number.NaN)).median : undefined
    return { name, failed, p99, ...spread(results.map(measure)), rounds: results.length }
  })
  const ratios = scenario.ratios.map(({ of, to, least, most }) => {
    const upper = records.get(of)?.rounds ?? []
    const lower = records.get(to)?.rounds ?? []
    // Only a round's own two results are divided: what both suffered cancels out.
    const each = upper.flatMap((result, round) => {
      const other = lower[round]
      return result && other ? [measure(result) / measure(other)] : []
    })
    const ratio = spread(each)
    const met = least ? ratio.median >= least : most ? ratio.median <= most : undefined
    return { name: `${of} / ${to}`, target: { least, most }, met, ...ratio, rounds: each.length }
  })
  return { title: scenario.title, trips: scenario.trips, runs, ratios }
}

/** @param {ReturnType<typeof summarize>} summary */
export function print({ title, trips, runs, ratios }) {
  const speed = runs.map(run => {
    if (run.rounds === 0) return [run.name, `unavailable: ${run.failed ?? 'not run'}`]
    const [median, least, most] = [run.median, run.least, run.most].map(trips ? micros : thousands)
    const p99 = trips ? [micros(run.p99 ?? Number.NaN)] : []
    return [run.name, median, `${least} - ${most}`, ...p99, run.failed ? `! ${run.failed}` : '']
  })
  const unit = trips ? 'p50, µs' : '1,000 msgs/s'
  console.log(`\n## ${title}\n`)
  table([['', unit, 'least - most', ...(trips ? ['p99, µs'] : []), ''], ...speed])

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
const thousands = rate => (rate / 1000).toFixed(rate < 100_000 ? 1 : 0)

/** @param {number} ns */
const micros = ns => (ns / 1000).toFixed(1)

/** @param {number} ratio */
const times = ratio => `${ratio.toFixed(ratio < 10 ? 2 : 1)}x`
