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
 *     --json FILE      writes the results to this file
 *     --record         writes the results to results/, in place of earlier ones of the same
 *                      scenarios and version of Node
 *     --quick          runs everything with few messages, to check that it works: see quick.mjs
 *
 * Each round runs each contender of a scenario once, in new processes, so that a disturbance of the
 * machine affects all of them. The results are medians over the rounds.
 */

import { fileURLToPath } from 'node:url'
import { endWithUsage, parseCommandLine } from '../scripts/command-line.mjs'
import { provenanceOf } from '../scripts/results.mjs'
import { describe, describeMachine, versionOf } from './machine.mjs'
import { preparePlace } from './place.mjs'
import { runAllQuickly } from './quick.mjs'
import { record, SOURCES, write } from './results.mjs'
import { scenarios } from './scenarios.mjs'
import { runOnce } from './session.mjs'
import { print, summarize } from './summary.mjs'

/** The number of cores above which other processes disturb a run, so that it is repeated. */
const DISTURBED = 0.2

/**
 * The most repetitions of one run, and those of all runs of a scenario as a share of their number.
 */
const REPEATS = 2
const REPEATS_IN_ALL = 0.3

const flags = parseCommandLine(import.meta.url, {
  rounds: { type: 'integer', default: 7 },
  only: { type: 'string', default: '' },
  node: { type: 'string', default: process.execPath },
  json: { type: 'string' },
  record: { type: 'boolean' },
  quick: { type: 'boolean' },
})
const { rounds } = flags
const only = new RegExp(flags.only, 'i')
const chosen = scenarios.map(choose).filter(scenario => scenario.runs.length > 0)
if (chosen.length === 0) {
  endWithUsage(import.meta.url, `--only ${flags.only} matches no group, title or contender`)
}

const place = preparePlace(flags.node, { npm: !flags.quick })
if (flags.quick) await runAllQuickly(chosen, place)
else await measureAll()

async function measureAll() {
  const machine = describeMachine()
  const node = versionOf(place.node)
  console.log(describe(machine, node))
  console.log(`${rounds} rounds, three warm-up batches before each measured one`)
  const began = performance.now()
  const provenance = provenanceOf(SOURCES)
  const measured = []
  for (const scenario of chosen) {
    const { records, disturbed } = await measure(scenario)
    const summary = summarize(scenario, records)
    print(summary)
    measured.push({ ...summary, ...provenance, disturbed })
  }
  const seconds = Math.round((performance.now() - began) / 1000)
  const disturbed = measured.reduce((sum, scenario) => sum + scenario.disturbed, 0)
  console.log(
    `\n${seconds} s; other processes used more than ${DISTURBED} cores during ${disturbed} runs`,
  )
  const results = { machine, node, scenarios: measured }
  if (flags.json) write(flags.json, results)
  if (flags.record)
    record(
      results,
      scenarios.map(({ title }) => title),
    )
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
  /** @type {Map<string, import('./summary.mjs').Record>} */
  const records = new Map(scenario.runs.map(run => [run.name, { rounds: [] }]))
  let disturbed = 0
  let repeats = Math.ceil(scenario.runs.length * rounds * REPEATS_IN_ALL)
  for (let round = 0; round < rounds; round++) {
    // Each round starts with a different contender, so that none always follows the same one.
    const at = round % scenario.runs.length
    for (const run of [...scenario.runs.slice(at), ...scenario.runs.slice(0, at)]) {
      const record = /** @type {import('./summary.mjs').Record} */ (records.get(run.name))
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
        const why = error instanceof Error ? error.message : String(error)
        // Results are committed, and must not name a path of this machine.
        record.failed = why.replaceAll(fileURLToPath(new URL('..', import.meta.url)), '')
      }
    }
  }
  progress('')
  return { records, disturbed }
}

/** @param {string} text */
function progress(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${text}`)
}
