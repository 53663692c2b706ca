// Runs the fuzz targets of fuzz/ with libFuzzer, one after another:
//
//     npm run fuzz -- [--seconds 60] [--jobs N] [target …]
//
// Prints for each target how many inputs it executed and how many edges of code they covered. Inputs
// that cover new code are kept under target/fuzz. An input that fails a target is written there too,
// and the exit code is 1.
//
// libFuzzer needs the compiler's coverage counters, which stable Rust can insert. It does not need
// nightly Rust, but a C++ compiler. Without an address sanitizer it finds panics, hangs and
// exhausted memory: only a few files contain unsafe code, and none of the codecs.
import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const ROOT = fileURLToPath(new URL('..', import.meta.url))

const COVERAGE = [
  '-Cpasses=sancov-module',
  ...[...['level=4', 'inline-8bit-counters', 'pc-table', 'trace-compares']].map(
    option => `-Cllvm-args=-sanitizer-coverage-${option}`,
  ),
  '-Clink-dead-code',
]

/** The longest input in bytes, and the memory in MiB that a target may use. */
const MAX_LENGTH = 4096
const MEMORY = 1024

const { values: flags, positionals } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    jobs: { type: 'string', default: String(availableParallelism()) },
  },
  allowPositionals: true,
})
const known = readdirSync(`${ROOT}fuzz/corpus`).sort()
const unknown = positionals.filter(name => !known.includes(name))
if (unknown.length > 0) {
  console.error(`No fuzz target is called ${unknown.join(', ')}. There are ${known.join(', ')}.`)
  process.exit(2)
}

const program = build()
const waiting = (positionals.length > 0 ? positionals : known).values()
let failed = 0
await Promise.all(
  Array.from({ length: Number(flags.jobs) }, async () => {
    for (const target of waiting) failed += Number(!(await run(target)))
  }),
)
process.exit(failed > 0 ? 1 : 0)

/** Builds the program. A target has to be given, so that build scripts get no counters. */
function build() {
  const host = /^host: (.*)$/m.exec(spawnSync('rustc', ['-vV'], { encoding: 'utf8' }).stdout)?.[1]
  const args = ['build', '--locked', '--package', 'fdwire-fuzz', '--features', 'libfuzzer']
  const where = ['--profile', 'fuzz', '--target', host ?? '', '--target-dir', 'target/fuzz/build']
  const { status } = spawnSync('cargo', [...args, ...where], {
    cwd: ROOT,
    stdio: 'inherit',
    env: { ...process.env, RUSTFLAGS: COVERAGE.join(' ') },
  })
  if (status !== 0) process.exit(1)
  return `${ROOT}target/fuzz/build/${host}/fuzz/target`
}

/** Runs a target. Resolves to whether it accepted every input. */
async function run(target) {
  const found = `${ROOT}target/fuzz/${target}`
  mkdirSync(`${found}/failures`, { recursive: true })
  mkdirSync(`${found}/corpus`, { recursive: true })
  const limits = [`-max_total_time=${flags.seconds}`, `-max_len=${MAX_LENGTH}`]
  const more = [`-rss_limit_mb=${MEMORY}`, '-timeout=60', '-print_final_stats=1']
  const corpus = [`${found}/corpus`, `${ROOT}fuzz/corpus/${target}`]
  const failures = `-artifact_prefix=${found}/failures/`
  const child = spawn(program, [...limits, ...more, failures, ...corpus], {
    env: { ...process.env, FDWIRE_FUZZ: target },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let log = ''
  child.stderr.setEncoding('utf8').on('data', text => {
    log = (log + text).slice(-64 * 1024)
  })
  const code = await new Promise(resolve => child.on('close', resolve))
  const executed = /number_of_executed_units: *(\d+)/.exec(log)?.[1] ?? '?'
  const covered = [...log.matchAll(/cov: (\d+)/g)].at(-1)?.[1] ?? '?'
  console.log(`${target}: ${executed} inputs, ${covered} edges, ${code === 0 ? 'ok' : 'FAILED'}`)
  if (code !== 0) console.log(log.slice(-4000))
  return code === 0
}
