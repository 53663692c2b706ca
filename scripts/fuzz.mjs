// Runs the fuzz targets of fuzz/ with libFuzzer, one after another:
//
//     npm run fuzz -- [--seconds 60] [--jobs N] [--record] [target …]
//     npm run fuzz -- --merge [target …]
//
// --seconds is the CPU time of each target: on a busy machine a run takes longer. Prints for each target
// how many inputs it executed and how many edges of code they covered. Inputs that cover new code are kept
// under target/fuzz. An input that fails a target is written there too, and the exit code is 1.
// --record writes the figures to fuzz/results.json. --merge runs nothing, but copies the inputs of target/fuzz
// that cover further edges to the committed corpus, shortest first.
//
// libFuzzer needs the compiler's coverage counters, which stable Rust can insert. It does not need
// nightly Rust, but a C++ compiler. Without an address sanitizer it finds panics, hangs and
// exhausted memory: only a few files contain unsafe code, and none of the codecs.
import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseCommandLine } from './command-line.mjs'
import { provenanceOf, replaceRows } from './results.mjs'

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

/** The longest input in bytes that the committed corpus takes. */
const MAX_COMMITTED = 512

/** The ticks per second in which Linux reports CPU time to programs (USER_HZ). */
const TICKS = 100

const RESULTS = `${ROOT}fuzz/results.json`
/** What a result depends on. */
const SOURCES = ['crates', 'fuzz/src']

const targets = readdirSync(`${ROOT}fuzz/corpus`).sort()
const flags = parseCommandLine(
  import.meta.url,
  {
    seconds: { type: 'number', default: 60 },
    jobs: { type: 'integer', default: availableParallelism() },
    record: { type: 'boolean' },
    merge: { type: 'boolean' },
  },
  targets,
)

const program = build()
const waiting = (flags.names.length > 0 ? flags.names : targets).values()
let failed = 0
await Promise.all(
  Array.from({ length: flags.jobs }, async () => {
    for (const target of waiting) {
      failed += Number(!(await (flags.merge ? merge : run)(target)))
    }
  }),
)
process.exit(failed > 0 ? 1 : 0)

/** Builds the program. A target has to be given, so that build scripts get no counters. */
function build() {
  const host = /^host: (.*)$/m.exec(spawnSync('rustc', ['-vV'], { encoding: 'utf8' }).stdout)?.[1]
  const features = ['--features', 'libfuzzer']
  // The other program of the package has no part of libFuzzer, and would not link.
  const args = ['build', '--locked', '--package', 'fdwire-fuzz', '--bin', 'target', ...features]
  const where = ['--profile', 'fuzz', '--target', host ?? '', '--target-dir', 'target/fuzz/build']
  const { status } = spawnSync('cargo', [...args, ...where], {
    cwd: ROOT,
    stdio: 'inherit',
    env: { ...process.env, RUSTFLAGS: COVERAGE.join(' ') },
  })
  if (status !== 0) process.exit(1)
  return `${ROOT}target/fuzz/build/${host}/fuzz/target`
}

/** Runs a target for the CPU time given. Resolves to whether it accepted every input. */
async function run(target) {
  const found = `${ROOT}target/fuzz/${target}`
  mkdirSync(`${found}/failures`, { recursive: true })
  mkdirSync(`${found}/corpus`, { recursive: true })
  // The folder may hold failures of earlier runs, and inputs that took long on a busy machine.
  const failures = () =>
    readdirSync(`${found}/failures`).filter(name => !name.startsWith('slow-unit-'))
  const before = new Set(failures())
  const { code, log, cpu } = await start(target, flags.seconds, [
    `-max_len=${MAX_LENGTH}`,
    `-artifact_prefix=${found}/failures/`,
    `${found}/corpus`,
    `${ROOT}fuzz/corpus/${target}`,
  ])
  const [edges, features] = [...log.matchAll(/cov: (\d+) ft: (\d+)/g)].at(-1)?.slice(1) ?? []
  const result = {
    ...provenanceOf(SOURCES),
    cpuSeconds: Math.round(cpu),
    executions: Number(/number_of_executed_units: *(\d+)/.exec(log)?.[1]),
    edges: Number(edges),
    features: Number(features),
    inputs: readdirSync(`${found}/corpus`).length,
    failures: failures().filter(name => !before.has(name)).length,
  }
  const { executions, cpuSeconds } = result
  const verdict = code === 0 ? 'ok' : 'FAILED'
  console.log(`${target}: ${executions} inputs, ${edges} edges, ${cpuSeconds} s of CPU, ${verdict}`)
  if (code !== 0) console.log(log.slice(-4000))
  if (flags.record) replaceRows(RESULTS, { [target]: result })
  return code === 0
}

/**
 * Starts libFuzzer, and asks it to end after some seconds of CPU time.
 * Resolves to its exit code, the end of its log, and the CPU time that it has used in seconds.
 */
async function start(target, seconds, args) {
  const limits = [`-rss_limit_mb=${MEMORY}`, '-timeout=60', '-print_final_stats=1']
  const child = spawn(program, [...limits, ...args], {
    env: { ...process.env, FDWIRE_FUZZ: target },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let log = ''
  child.stderr.setEncoding('utf8').on('data', text => {
    log = (log + text).slice(-64 * 1024)
  })
  const closed = new Promise(resolve => child.on('close', resolve))
  let ended = false
  void closed.then(() => {
    ended = true
  })
  let cpu = 0
  while (!ended) {
    cpu = cpuTime(child.pid) ?? cpu
    // libFuzzer finishes its input, prints its figures and exits with 0.
    if (cpu >= seconds) child.kill('SIGUSR1')
    await Promise.race([closed, sleep(500)])
  }
  return { code: await closed, log, cpu }
}

/** Returns the CPU time of a process in seconds, or undefined if it has ended. */
function cpuTime(pid) {
  try {
    // The second field is the name in parentheses; the 14th and 15th are times in user and system mode.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? []
    const ticks = Number(fields[11]) + Number(fields[12])
    return fields[0] === 'Z' ? undefined : ticks / TICKS
  } catch {
    return undefined
  }
}

/** Copies the inputs that were found, and cover edges that the committed ones do not, to these. */
async function merge(target) {
  const committed = `${ROOT}fuzz/corpus/${target}`
  const size = () =>
    readdirSync(committed).reduce((sum, name) => sum + statSync(`${committed}/${name}`).size, 0)
  const before = { inputs: readdirSync(committed).length, bytes: size() }
  // Without counters, an input is new only if it reaches an edge, and not if it does so more often.
  const limits = ['-merge=1', '-use_counters=0', `-max_len=${MAX_COMMITTED}`]
  const { code, log } = await start(target, Number.POSITIVE_INFINITY, [
    ...limits,
    committed,
    `${ROOT}target/fuzz/${target}/corpus`,
  ])
  const added = readdirSync(committed).length - before.inputs
  console.log(`${target}: ${added} inputs of ${size() - before.bytes} bytes added`)
  if (code !== 0) console.log(log.slice(-4000))
  return code === 0
}
