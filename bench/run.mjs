// @ts-check
/**
 * The benchmark: `node bench/run.mjs [--rounds N] [--only PATTERN] [--json FILE]`.
 *
 * In a round every contender of a scenario runs once, in processes of its own, so that what the
 * machine does meanwhile hits all of them; what counts is the median of the rounds' ratios.
 */

import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { describe } from './machine.mjs'
import { print, summarize } from './report.mjs'
import { scenarios } from './scenarios.mjs'
import { runOnce } from './session.mjs'

/** Cores that others may use during a run; with more it is repeated. */
const DISTURBED = 0.2

/** Times that one run is repeated, and all of a scenario together, as a share of its runs. */
const REPEATS = 2
const REPEATS_IN_ALL = 0.3

const { values: flags } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    only: { type: 'string', default: '' },
    json: { type: 'string' },
  },
})
const rounds = Number(flags.rounds)
if (!Number.isInteger(rounds) || rounds < 1) throw new TypeError('--rounds takes a number from 1')
const only = new RegExp(flags.only, 'i')

installNpmPeers()
const floor = buildFloor()
const directory = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'fdwire-bench-'))
process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1))
const place = { floor, directory, file: join(directory, 'passed') }
writeFileSync(place.file, 'passed\n')

const machine = describe()
const began = performance.now()
console.log(`${machine}\n${rounds} rounds, three warm-up batches before each counted one`)
const summaries = []
let kept = 0
for (const scenario of scenarios) {
  const chosen = choose(scenario)
  if (chosen.runs.length === 0) continue
  const records = await measure(chosen)
  const summary = summarize(chosen, records)
  print(summary)
  summaries.push({ ...summary, samples: Object.fromEntries(records) })
}
const seconds = Math.round((performance.now() - began) / 1000)
console.log(`\n${seconds} s; ${kept} runs counted although others used over ${DISTURBED} cores`)
if (flags.json) {
  const report = { machine, date: new Date().toISOString(), rounds, kept, scenarios: summaries }
  writeFileSync(flags.json, `${JSON.stringify(report, null, 2)}\n`)
}

/** Compilers come with the package's own tools; what won't install shows as unavailable. */
function installNpmPeers() {
  const folder = fileURLToPath(new URL('npm', import.meta.url))
  if (existsSync(join(folder, 'node_modules'))) return
  try {
    execFileSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
      cwd: folder,
      stdio: 'inherit',
    })
  } catch (error) {
    console.error(`npm ci in ${folder}: ${error}`)
  }
}

/** @returns {string} the program */
function buildFloor() {
  const lines = execFileSync(
    'cargo',
    ['build', '--release', '-p', 'fdwire-bench-floor', '--message-format=json-render-diagnostics'],
    { cwd: fileURLToPath(new URL('..', import.meta.url)), encoding: 'utf8' },
  )
  const built = lines.split('\n').find(line => line.includes('"executable":"'))
  if (!built) throw new Error('cargo names no executable')
  return JSON.parse(built).executable
}

/**
 * With a pattern that fits no title, the runs whose names it fits and those they are compared to.
 * @param {import('./scenario.mjs').Scenario} scenario
 */
function choose(scenario) {
  if (only.test(scenario.title)) return scenario
  const ratios = scenario.ratios.filter(ratio => only.test(ratio.of))
  const names = new Set(ratios.flatMap(ratio => [ratio.of, ratio.to]))
  const runs = scenario.runs.filter(run => only.test(run.name) || names.has(run.name))
  return { ...scenario, runs, ratios }
}

/** @param {import('./scenario.mjs').Scenario} scenario */
async function measure(scenario) {
  /** @type {Map<string, import('./report.mjs').Record>} */
  const records = new Map(scenario.runs.map(run => [run.name, { rounds: [] }]))
  let repeats = Math.ceil(scenario.runs.length * rounds * REPEATS_IN_ALL)
  for (let round = 0; round < rounds; round++) {
    // Another one begins each time, so that nobody always follows the same predecessor.
    const at = round % scenario.runs.length
    for (const run of [...scenario.runs.slice(at), ...scenario.runs.slice(0, at)]) {
      const record = /** @type {import('./report.mjs').Record} */ (records.get(run.name))
      // Who couldn't run in its first round won't in the next.
      if (record.failed && !record.rounds.some(Boolean)) continue
      progress(`${scenario.title}: round ${round + 1} of ${rounds}: ${run.name}`)
      try {
        let best = await runOnce(run, scenario, place)
        for (let i = 0; i < REPEATS && best.others > DISTURBED && repeats > 0; i++, repeats--) {
          const again = await runOnce(run, scenario, place)
          if (again.others < best.others) best = again
        }
        if (best.others > DISTURBED) kept++
        record.rounds[round] = best
      } catch (error) {
        record.failed = error instanceof Error ? error.message : String(error)
      }
    }
  }
  progress('')
  return records
}

/** @param {string} text */
function progress(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text}`)
}
