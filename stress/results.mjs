/** The committed results: `results/<name>.json`, from which the documents are generated. */
import { writeFileSync } from 'node:fs'
import { cpus, release } from 'node:os'
import { commitOfSources } from '../bench/results.mjs'

/**
 * Writes a result, with the conditions of the measurement. `cases`, `executions` and `kills` are the numbers that
 * docs/reliability.md shows.
 */
export function record(
  name,
  { title, command, seconds, cases, executions, kills, figures, samples },
) {
  const about = {
    date: new Date().toISOString().slice(0, 10),
    commit: commitOfSources(),
    node: process.version,
    linux: /^\d+\.\d+/.exec(release())[0],
    cores: cpus().length,
  }
  const numbers = { seconds, cases, executions, kills }
  const result = { title, command, ...about, ...numbers, figures, samples }
  const text = JSON.stringify(result, null, 2)
  // Each sample is one line.
  const short = text.replace(/\{\s*"second"[^}]*\}/g, sample => sample.replace(/\s+/g, ' '))
  writeFileSync(new URL(`results/${name}.json`, import.meta.url), `${short}\n`)
}
