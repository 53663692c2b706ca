/** The committed results: `results/<name>.json`, from which the documents are generated. */
import { cpus, release } from 'node:os'
import { SOURCES } from '../bench/results.mjs'
import { provenanceOf, writeResults } from '../scripts/results.mjs'

/**
 * Writes a result, with the conditions of the measurement. `cases`, `executions` and `kills` are the numbers that
 * docs/reliability.md shows.
 */
export function record(
  name,
  { title, command, seconds, cases, executions, kills, figures, samples },
) {
  const about = {
    ...provenanceOf(SOURCES),
    node: process.version,
    linux: /^\d+\.\d+/.exec(release())[0],
    cores: cpus().length,
  }
  const numbers = { seconds, cases, executions, kills }
  const result = { title, command, ...about, ...numbers, figures, samples }
  // Each sample is one line.
  writeResults(new URL(`results/${name}.json`, import.meta.url), result, 'second')
}
