// @ts-check
/**
 * The quick mode: runs each contender of each scenario once with few messages. It checks that
 * everything runs, that each message arrives once, in order and unchanged, and that no descriptor
 * stays open. It measures nothing, so it also works on a busy machine.
 */

import { runOnce } from './session.mjs'

/** The contenders that need an npm package with native code, which the quick mode does not install. */
const NPM_PEERS = ['unix-dgram', 'usocket']

/** The number of runs at the same time. */
const AT_ONCE = 3

/** The bytes of a batch, if that makes between LEAST and MOST messages. */
const BYTES = 1024 * 1024
const LEAST = 128
const MOST = 6_400

/** A batch of `sendAll` consists of whole rings of messages. */
const RING = 64

/**
 * The most connections or round trips in a batch.
 * @type {{ [work in import('./scenario.mjs').Work]?: number }}
 */
const FEW = { trips: 200, pairs: 50, connect: 50, close: 50, accept: 200, idle: 50, http: 100 }

/**
 * Runs all, and sets the exit code to 1 if a run fails.
 * @param {import('./scenario.mjs').Scenario[]} scenarios
 * @param {import('./session.mjs').Place} place
 */
export async function runAllQuickly(scenarios, place) {
  const began = performance.now()
  const all = scenarios.flatMap(scenario => scenario.runs.map(run => ({ run, scenario })))
  const chosen = all.filter(({ run }) => !NPM_PEERS.includes(run.program))
  const waiting = chosen.values()
  /** @type {string[]} */
  const failures = []
  const worker = async () => {
    for (const { run, scenario } of waiting) {
      const count = Math.min(run.count, countOf(run, scenario))
      try {
        await runOnce({ ...run, count }, scenario, place, 1)
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error)
        failures.push(`${scenario.title}: ${run.name}: ${reason}`)
      }
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
  for (const failure of failures) console.error(failure)
  const seconds = ((performance.now() - began) / 1000).toFixed(0)
  console.log(
    `Benchmark, quick mode: ${chosen.length - failures.length} of ${chosen.length} runs passed in ${seconds} s. ` +
      `The ${all.length - chosen.length} runs of ${NPM_PEERS.join(' and ')} are not part of it.`,
  )
  if (failures.length > 0) process.exitCode = 1
}

/**
 * Returns the number of messages or connections in a batch.
 * @param {import('./scenario.mjs').Run} run
 * @param {import('./scenario.mjs').Scenario} scenario
 */
function countOf(run, { work, size }) {
  const few = FEW[work]
  if (few) return few
  const messages = Math.min(MOST, Math.max(LEAST, BYTES / (run.size ?? size)))
  return Math.floor(messages / RING) * RING
}
