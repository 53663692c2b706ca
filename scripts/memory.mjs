// Looks for wrong accesses to memory:
//
//     npm run test:memory [-- --only asan|valgrind|miri] [-- --record]
//
// - asan: tests of vitest run with the addon built with AddressSanitizer (scripts/memory/address-sanitizer.mjs).
// - valgrind runs a program that reaches the unsafe code of the addon (scripts/memory/exercise.mjs). An error
//   in which a function of the addon takes part is a failure; those of Node and V8 alone are not.
// - Miri runs tests of the crates that need no system call. It needs nightly Rust, which rustup installs.
//   Without rustup it is left out, which the last line says.
//
// --record writes the figures to scripts/memory/results.json.
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseCommandLine } from './command-line.mjs'
import { runAddressSanitizer } from './memory/address-sanitizer.mjs'
import { provenanceOf, replaceRows } from './results.mjs'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const FOLDER = `${ROOT}target/memory`
const RESULTS = `${ROOT}scripts/memory/results.json`
/** What a result depends on. */
const SOURCES = ['crates', 'lib']

/** Reaches the unsafe code of the addon. vitest does not start its workers under valgrind in time. */
const PROGRAM = `${ROOT}scripts/memory/exercise.mjs`

/** How long the program may take under valgrind (ms). */
const LONGEST = 10 * 60 * 1000

/** What Miri runs: arguments of `cargo miri test`. */
const MIRI = [
  ['--package', 'fdwire-uv', '--test', 'handles'],
  ['--package', 'fdwire-wire', '--lib'],
]

const runs = { asan: runAsan, valgrind: runValgrind, miri: runMiri }
const flags = parseCommandLine(import.meta.url, {
  only: { type: 'string', choices: Object.keys(runs) },
  record: { type: 'boolean' },
})
const provenance = provenanceOf(SOURCES)
const results = {}
const leftOut = []
for (const [name, run] of Object.entries(runs)) {
  if (flags.only === undefined || flags.only === name) run()
}
if (flags.record) replaceRows(RESULTS, results)
for (const reason of leftOut) console.error(`\nLEFT OUT: ${reason}`)

function runAsan() {
  const began = Date.now()
  const tests = runAddressSanitizer()
  const seconds = Math.round((Date.now() - began) / 1000)
  console.log(`AddressSanitizer: ${tests} tests, no error, ${seconds} s`)
  results.asan = { ...provenance, tests, errors: 0, seconds }
}

function runValgrind() {
  if (spawnSync('valgrind', ['--version']).status !== 0) {
    console.error('This needs the program valgrind, for example: sudo apt-get install valgrind')
    process.exit(1)
  }
  rmSync(FOLDER, { recursive: true, force: true })
  mkdirSync(FOLDER, { recursive: true })
  const log = `${FOLDER}/valgrind.log`
  // Compiling JavaScript under valgrind takes most of the time.
  const node = [process.execPath, '--jitless', '--expose-gc', PROGRAM]
  const began = Date.now()
  const run = spawnSync('valgrind', [`--log-file=${log}`, '--num-callers=30', ...node], {
    cwd: ROOT,
    stdio: 'inherit',
    timeout: LONGEST,
  })
  const errors = errorsIn(readFileSync(log, 'utf8'))
  const own = errors.filter(isOwn)
  const seconds = Math.round((Date.now() - began) / 1000)
  console.log(
    `valgrind: ${errors.length} errors, ${own.length} of them with the addon, ${seconds} s`,
  )
  for (const error of own) console.error(`\n${error}`)
  if (run.status !== 0)
    console.error(`The program has not ended well: ${run.error ?? run.signal ?? run.status}`)
  if (run.status !== 0 || own.length > 0) process.exit(1)
  results.valgrind = { ...provenance, errors: own.length, seconds }
}

/** Returns the errors that valgrind has written: paragraphs with a stack. */
function errorsIn(log) {
  const text = log.replace(/^==\d+== ?/gm, '')
  return text.split(/\n\s*\n/).filter(paragraph => /^\s*at 0x/m.test(paragraph))
}

/**
 * Whether the addon has made an error, or has allocated or freed the memory: it is innermost in one of the
 * stacks, apart from the C library. V8 itself reads uninitialised parts of the stack for garbage collection.
 */
function isOwn(error) {
  return error.split(/^\s*at 0x/m).some((stack, index) => {
    const frames = stack.split('\n').filter(frame => !/lib(?:c|stdc\+\+)\.so|vgpreload/.test(frame))
    return index > 0 && /fdwire[^)]*\.node/.test(frames[0] ?? '')
  })
}

function runMiri() {
  if (!installMiri()) {
    leftOut.push('Miri: it needs rustup with nightly Rust (rustup toolchain install nightly)')
    return
  }
  const began = Date.now()
  let tests = 0
  for (const args of MIRI) {
    const { status, stdout } = spawnSync('cargo', ['+nightly', 'miri', 'test', ...args], {
      cwd: ROOT,
      encoding: 'utf8',
      stdio: ['inherit', 'pipe', 'inherit'],
      env: {
        ...process.env,
        CARGO_TARGET_DIR: 'target/miri',
        // Tests open pipes.
        MIRIFLAGS: '-Zmiri-disable-isolation',
      },
    })
    console.log(stdout)
    if (status !== 0) process.exit(1)
    for (const [, passed] of stdout.matchAll(/^test result: ok\. (\d+) passed/gm)) {
      tests += Number(passed)
    }
  }
  const seconds = Math.round((Date.now() - began) / 1000)
  console.log(`Miri: ${tests} tests, no error, ${seconds} s`)
  if (tests === 0) process.exit(1)
  results.miri = { ...provenance, tests, errors: 0, seconds }
}

/** Installs Miri if possible. Returns whether it can be run. */
function installMiri() {
  const has = () => spawnSync('cargo', ['+nightly', 'miri', '--version']).status === 0
  if (has()) return true
  const install = ['toolchain', 'install', 'nightly', '--profile', 'minimal']
  const components = ['--component', 'miri', '--component', 'rust-src']
  return (
    spawnSync('rustup', [...install, ...components], { stdio: 'inherit' }).status === 0 && has()
  )
}
