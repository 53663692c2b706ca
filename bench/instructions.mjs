// @ts-check
/**
 * Counts the instructions of the hot loops of codecs and channels with callgrind, and compares them with
 * `loops/instructions.json`. Unlike a time, the count hardly depends on the machine and not at all
 * on its load. Options:
 *
 *     --write    writes the counts to that file instead
 *
 * A count may exceed the committed one by TOLERANCE. It depends on the compiler, so a new version of
 * Rust may need new counts. A lower count is reported and accepted.
 */

import { execFile, execFileSync, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { parseCommandLine } from '../scripts/command-line.mjs'
import { versionOf } from './machine.mjs'

const TOLERANCE = 0.1

/** The loops: `raw` has no frames, and `jsoncomm` is not for streams. */
const PROTOCOLS = [
  ...['length_prefixed', 'lines', 'msg_channel'],
  ...['socket_protocol', 'stockings', 'uds_comms'],
]
const SIZES = [64, 1024]

/** Two runs with a different number of passes: their difference has no start and no end. */
const PASSES = [10, 30]

/** Messages in a pass: `RING` of `loops/src/lib.rs`. */
const RING = 64

/** @typedef {{ rust: string, counts: { [loop: string]: number } }} Counts */

const flags = parseCommandLine(import.meta.url, { write: { type: 'boolean' } })
const file = new URL('loops/instructions.json', import.meta.url)
if (spawnSync('valgrind', ['--version']).status !== 0) {
  console.error('This needs the program valgrind, for example: sudo apt-get install valgrind')
  process.exit(1)
}
const program = build()
const loops = PROTOCOLS.flatMap(protocol =>
  ['decode', 'encode'].flatMap(work => SIZES.map(size => `${protocol} ${work} ${size}`)),
)
// The framing has no influence on this check of JSON texts.
loops.push(...SIZES.map(size => `length_prefixed balance ${size}`))
loops.push(...SIZES.map(size => `channel transfer ${size}`))

/** @type {Counts} */
const counted = { rust: versionOf('rustc').split(' ')[1] ?? 'unknown', counts: {} }
const waiting = loops.values()
await Promise.all(
  Array.from({ length: availableParallelism() }, async () => {
    for (const loop of waiting) counted.counts[loop] = await count(loop)
  }),
)
if (flags.write) {
  counted.counts = Object.fromEntries(loops.map(loop => [loop, counted.counts[loop] ?? 0]))
  writeFileSync(file, `${JSON.stringify(counted, null, 2)}\n`)
} else compare(JSON.parse(readFileSync(file, 'utf8')))

/** Builds the program of the loops and returns its path. */
function build() {
  const root = fileURLToPath(new URL('..', import.meta.url))
  execFileSync('cargo', ['build', '--release', '--locked', '-q', '-p', 'fdwire-bench-loops'], {
    cwd: root,
    stdio: 'inherit',
  })
  return `${root}/target/release/fdwire-bench-loops`
}

/** Returns the instructions of a loop for one message. @param {string} loop */
async function count(loop) {
  const [less, more] = await Promise.all(PASSES.map(passes => run([...loop.split(' '), passes])))
  const [few, many] = /** @type {[number, number]} */ (PASSES)
  const each = (Number(more) - Number(less)) / ((many - few) * RING)
  return Number(each.toFixed(1))
}

/** @param {(string | number)[]} loop */
async function run(loop) {
  const { stderr } = await promisify(execFile)('valgrind', [
    '--tool=callgrind',
    '--callgrind-out-file=/dev/null',
    program,
    ...loop.map(String),
  ])
  const [, collected] = /Collected : (\d+)/.exec(stderr) ?? []
  if (!collected) throw new Error(`callgrind reported no count:\n${stderr}`)
  return Number(collected)
}

/** @param {Counts} before */
function compare(before) {
  if (before.rust !== counted.rust) {
    console.log(`The committed counts are of Rust ${before.rust}, these of ${counted.rust}.`)
  }
  let isWorse = false
  for (const loop of loops) {
    const [was, is] = [before.counts[loop], counted.counts[loop] ?? 0]
    const ratio = is / (was ?? Number.NaN)
    if (Math.abs(ratio - 1) <= TOLERANCE) continue
    // A loop without a committed count is an error as well.
    const better = ratio < 1
    isWorse ||= !better
    const verdict = better ? 'fewer: consider --write' : 'MORE'
    console.error(`${loop}: ${is} instructions a message, not ${was}: ${verdict}`)
  }
  if (isWorse) process.exitCode = 1
  else console.log(`Counted the instructions of ${loops.length} loops.`)
}
