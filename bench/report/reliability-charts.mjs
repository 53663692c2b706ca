// @ts-check
/** The chart of `docs/reliability.md`. */

import { lineChart } from './draw.mjs'
import { readSoak } from './reliability.mjs'

const MEBIBYTE = 1024 * 1024

/** What the server of the soak held, over the time. */
export function soakChart() {
  const samples = readSoak().samples ?? []
  const points = (/** @type {(sample: import('./reliability.mjs').Sample) => number} */ of) =>
    samples.map(
      sample =>
        /** @type {[number, number]} */ ([rounded(sample.second / 60), rounded(of(sample))]),
    )
  const svg = lineChart({
    title: 'What a server holds while clients come, go and are killed',
    time: 'minutes',
    panels: [
      {
        unit: 'memory, MiB',
        series: [
          { name: 'resident set', points: points(({ rss }) => rss / MEBIBYTE) },
          {
            name: 'heap and external',
            points: points(({ heapUsed, external }) => (heapUsed + external) / MEBIBYTE),
          },
        ],
      },
      {
        unit: 'open descriptors',
        series: [{ name: 'descriptors', points: points(({ fds }) => fds) }],
      },
    ],
  })
  return { name: 'soak', svg }
}

/** @param {number} number */
const rounded = number => Math.round(number * 100) / 100
