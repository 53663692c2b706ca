// @ts-check
/** Looks up figures in the results. */

/**
 * @typedef {import('../results.mjs').Results} Results
 * @typedef {import('../results.mjs').Measured} Measured
 * @typedef {import('../columns.mjs').Column} Column
 */

/** Returns `Node 20` and so on. @param {Results} results */
export const versionOf = ({ node }) => `Node ${/\d+/.exec(node)?.[0]}`

/**
 * Returns the median of a figure, or undefined if it was not measured.
 * @param {Results} results
 * @param {string} title
 * @param {string} name of the run
 * @param {Column['key']} key
 */
export function figure({ scenarios }, title, name, key) {
  const scenario = scenarios.find(one => one.title === title)
  return scenario?.runs.find(run => run.name === name)?.figures[key]?.median ?? undefined
}

/**
 * Returns a ratio, or undefined if it was not measured.
 * @param {Results} results
 * @param {string} title
 * @param {string} of
 * @param {string | undefined} to
 */
export function ratio({ scenarios }, title, of, to) {
  const scenario = scenarios.find(one => one.title === title)
  const found = scenario?.ratios.find(one => one.of === of && one.to === to)
  return found && found.rounds > 0 ? found : undefined
}
