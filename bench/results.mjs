// @ts-check
/** The files of results: `results/node-<major>.json`, one for each version of Node. */

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { writeResults } from '../scripts/results.mjs'

const folder = new URL('results/', import.meta.url)

/** The significant digits of a figure, far more than a run is precise. */
const DIGITS = 4

/** What the results depend on, apart from what fdwire does. */
export const SOURCES = ['lib', 'index.ts', 'crates', 'Cargo.lock']

/**
 * A scenario's summary with what it was measured with. `commit` ends with `+` if the sources differed
 * from it.
 * @typedef {import('./summary.mjs').Summary & { date: string, commit: string, disturbed: number }} Measured
 *
 * @typedef {object} Results
 * @property {import('./machine.mjs').Machine} machine
 * @property {string} node its version
 * @property {Measured[]} scenarios
 */

/** Returns all committed results, the oldest version of Node first. @returns {Results[]} */
export function readAll() {
  const files = existsSync(folder) ? readdirSync(folder) : []
  return files
    .filter(file => file.endsWith('.json'))
    .map(file => read(new URL(file, folder)))
    .sort((a, b) => majorOf(a) - majorOf(b))
}

/**
 * Replaces the scenarios of a version of Node that were measured again, in the order of `titles`.
 * @param {Results} measured
 * @param {string[]} titles of all scenarios
 */
export function record(measured, titles) {
  const file = new URL(`node-${majorOf(measured)}.json`, folder)
  const before = existsSync(file) ? read(file) : undefined
  if (before && JSON.stringify(before.machine) !== JSON.stringify(measured.machine)) {
    throw new Error(`${file.pathname} has results of another machine: delete it first`)
  }
  const all = new Map(
    [...(before?.scenarios ?? []), ...measured.scenarios].map(one => [one.title, one]),
  )
  const scenarios = titles.flatMap(title => all.get(title) ?? [])
  write(file, { ...measured, scenarios })
}

/** @param {string | URL} file @param {Results} results */
export function write(file, results) {
  // NaN becomes null.
  const rounded = JSON.stringify(results, (_, value) =>
    Number.isFinite(value) ? Number(value.toPrecision(DIGITS)) : value,
  )
  // Each spread is one line.
  writeResults(file, JSON.parse(rounded), 'median')
}

/** @param {URL} file @returns {Results} */
function read(file) {
  return JSON.parse(readFileSync(file, 'utf8'))
}

/** @param {Results} results */
function majorOf({ node }) {
  return Number(/\d+/.exec(node))
}
