// @ts-check
/**
 * The benchmark. Options:
 *
 *     --rounds N       rounds (7)
 *     --only PATTERN   runs the scenarios whose group or title, and the contenders whose name,
 *                      match this regular expression
 *     --node VERSION   runs the contenders with this version of Node, such as 24, which npm
 *                      installs under target/, or with the `node` at this path (the one that runs
 *                      this file)
 *     --json FILE      writes all results to this file
 *
 * Each round runs each contender of a scenario once, in new processes, so that a disturbance of the
 * machine affects all of them. The results are medians over the rounds.
 */

import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { installNode } from '../scripts/node-versions.mjs'
import { describe } from './machine.mjs'
import { print, summarize } from './report.mjs'
import { scenarios } from './scenarios.mjs'
import { runOnce } from './session.mjs'

/** The number of cores above which other processes disturb a run, so that it is repeated. */
const DISTURBED = 0.2

/**
 * The most repetitions of one run, and those of all runs of a scenario as a share of their number.
 */
const REPEATS = 2
const REPEATS_IN_ALL = 0.3

const { values: flags } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    only: { type: 'string', default: '' },
    node: { type: 'string', default: process.execPath },
    json: { type: 'string' },
  },
})
const rounds = Number(flags.rounds)
if (!Number.isInteger(rounds) || rounds < 1) {
  throw new TypeError(`--rounds must be a positive integer, not ${flags.rounds}`)
}
const only = new RegExp(flags.only, 'i')
const chosen = scenarios.map(choose).filter(scenario => scenario.runs.length > 0)
if (chosen.length === 0) {
  throw new TypeError(`--only ${flags.only} matches no group, title or contender`)
}

installNpmPeers()
const directory = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'fdwire-bench-'))
process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1))
const place = {
  node: findNode(flags.node),
  floor: buildFloor(),
  directory,
  file: join(directory, 'passed'),
}
writeFileSync(place.file, 'passed\n')

const machine = describe(place.node)
const began = performance.now()
console.log(`${machine}\n${rounds} rounds, three warm-up batches before each measured one`)
const summaries = []
let disturbed = 0
for (const scenario of chosen) {
  const records = await measure(scenario)
  const summary = summarize(scenario, records)
  print(summary)
  summaries.push({ ...summary, samples: Object.fromEntries(records) })
}
const seconds = Math.round((performance.now() - began) / 1000)
console.log(
  `\n${seconds} s; other processes used more than ${DISTURBED} cores during ${disturbed} runs`,
)
if (flags.json) {
  const report = {
    machine,
    date: new Date().toISOString(),
    rounds,
    disturbed,
    scenarios: summaries,
  }
  writeFileSync(flags.json, `${JSON.stringify(report, null, 2)}\n`)
}

/** Installs the npm packages. If that fails, their contenders are reported as unavailable. */
function installNpmPeers() {
  const folder = fileURLToPath(new URL('npm', import.meta.url))
  if (existsSync(join(folder, 'node_modules'))) return
  try {
    execFileSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
      cwd: folder,
      stdio: 'inherit',
    })
  } catch (error) {
    console.error(`npm ci in ${folder} failed: ${error}`)
  }
}

/** Returns the path of a `node`. @param {string} given a version, such as 24, or a path */
function findNode(given) {
  return /^[\d.]+$/.test(given) ? join(installNode(given), 'node') : resolve(given)
}

/** Builds the floor and returns the path of its program. @returns {string} */
function buildFloor() {
  const lines = execFileSync(
    'cargo',
    ['build', '--release', '-p', 'fdwire-bench-floor', '--message-format=json-render-diagnostics'],
    { cwd: fileURLToPath(new URL('..', import.meta.url)), encoding: 'utf8' },
  )
  const built = lines.split('\n').find(line => line.includes('"executable":"'))
  if (!built) throw new Error('cargo build reported no executable for fdwire-bench-floor')
  return JSON.parse(built).executable
}

/**
 * Returns the whole scenario if its group or title matches, otherwise the contenders whose names
 * match and those that they are compared with.
 * @param {import('./scenario.mjs').Scenario} scenario
 */
function choose(scenario) {
  if (only.test(scenario.group) || only.test(scenario.title)) return scenario
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
    // Each round starts with a different contender, so that none always follows the same one.
    const at = round % scenario.runs.length
    for (const run of [...scenario.runs.slice(at), ...scenario.runs.slice(0, at)]) {
      const record = /** @type {import('./report.mjs').Record} */ (records.get(run.name))
      // A contender that failed in its first round would fail in the next ones as well.
      if (record.failed && !record.rounds.some(Boolean)) continue
      progress(`${scenario.title}: round ${round + 1} of ${rounds}: ${run.name}`)
      try {
        let best = await runOnce(run, scenario, place)
        for (let i = 0; i < REPEATS && best.others > DISTURBED && repeats > 0; i++, repeats--) {
          const again = await runOnce(run, scenario, place)
          if (again.others < best.others) best = again
        }
        if (best.others > DISTURBED) disturbed++
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
