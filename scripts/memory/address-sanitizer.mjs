// Builds the addon with AddressSanitizer and runs tests of vitest with it, in a copy of the repository.
import { execFileSync, spawnSync } from 'node:child_process'
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const FOLDER = `${ROOT}target/asan`
const TREE = `${FOLDER}/tree`
/** AddressSanitizer writes one file for each process with an error. */
const REPORTS = `${FOLDER}/reports`
const SUMMARY = `${FOLDER}/summary.json`

/** The folders and files of tests that reach the unsafe code. */
const TESTS = [
  'channel/tampered-builtins',
  'fds/',
  'native/',
  'stream/cuts',
  'stream/malformed',
  'threads/',
  'vectors/',
]

/**
 * A test that limits the memory of a process, although AddressSanitizer reserves 20 TiB of addresses, and a slow one
 * of which another is a short form.
 */
const EXCLUDED = ['**/small-memory.test.ts', '**/ended-workers.test.ts']

/** How long the tests may take (ms). A process that has ended with an error can make a test wait. */
const LONGEST = 10 * 60 * 1000

/** Returns the number of tests that have passed. Exits after an error or a failed test. */
export function runAddressSanitizer() {
  const runtime = findRuntime()
  copyTree(build())
  const env = {
    ...process.env,
    LD_PRELOAD: runtime,
    // Node and V8 do not free everything when a process ends.
    ASAN_OPTIONS: `detect_leaks=0:log_path=${REPORTS}/report`,
  }
  const args = [
    'run',
    ...TESTS.map(name => `__test__/${name}`),
    '--reporter=default',
    '--maxWorkers=2',
  ]
  for (const pattern of EXCLUDED) args.push('--exclude', pattern)
  args.push('--reporter=json', `--outputFile.json=${SUMMARY}`)
  const program = ['node_modules/vitest/vitest.mjs', ...args]
  const { status, signal, error } = spawnSync(process.execPath, program, {
    cwd: TREE,
    env,
    stdio: 'inherit',
    timeout: LONGEST,
  })
  const reports = readdirSync(REPORTS)
  for (const report of reports) console.error(`\n${readFileSync(`${REPORTS}/${report}`, 'utf8')}`)
  if (status !== 0) console.error(`vitest has not ended well: ${error ?? signal ?? status}`)
  if (status !== 0 || reports.length > 0) process.exit(1)
  return JSON.parse(readFileSync(SUMMARY, 'utf8')).numPassedTests
}

/** Returns the path of GCC's runtime, which a process loads before the addon. */
function findRuntime() {
  const { stdout } = spawnSync('gcc', ['-print-file-name=libasan.so'], { encoding: 'utf8' })
  const path = stdout?.trim() ?? ''
  // GCC prints the bare name of a file that it does not have.
  if (path.startsWith('/')) return path
  console.error('This needs libasan of GCC, for example: sudo apt-get install gcc')
  process.exit(1)
}

/** Builds the addon and returns its path. Stable Rust has the option with RUSTC_BOOTSTRAP. */
function build() {
  const [, target] =
    /^host: (.*)$/m.exec(execFileSync('rustc', ['-vV'], { encoding: 'utf8' })) ?? []
  const args = ['build', '--locked', '--release', '--lib', '--package', 'fdwire-node']
  const env = {
    ...process.env,
    RUSTC_BOOTSTRAP: '1',
    RUSTFLAGS: '-Zsanitizer=address',
    CARGO_PROFILE_RELEASE_LTO: 'off',
    CARGO_PROFILE_RELEASE_STRIP: 'none',
  }
  const { status } = spawnSync('cargo', [...args, '--target', target, '--target-dir', FOLDER], {
    cwd: ROOT,
    env,
    stdio: 'inherit',
  })
  if (status !== 0) process.exit(1)
  return `${FOLDER}/${target}/release/libfdwire_node.so`
}

/** Copies the repository, with this addon in the place of the usual one. */
function copyTree(addon) {
  for (const folder of [TREE, REPORTS]) {
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(folder, { recursive: true })
  }
  const list = ['ls-files', '-z', '--cached', '--others', '--exclude-standard']
  const files = execFileSync('git', list, { cwd: ROOT, encoding: 'utf8' })
  for (const file of files.split('\0').filter(Boolean)) {
    mkdirSync(dirname(`${TREE}/${file}`), { recursive: true })
    copyFileSync(`${ROOT}${file}`, `${TREE}/${file}`)
  }
  cpSync(`${ROOT}dist`, `${TREE}/dist`, { recursive: true })
  symlinkSync(`${ROOT}node_modules`, `${TREE}/node_modules`)
  const [name] = readdirSync(`${ROOT}dist/lib/native`).filter(name => name.endsWith('.node'))
  // The loader takes the first of these; a test of the loader copies the other.
  for (const folder of [`${TREE}/dist/lib/native`, TREE]) copyFileSync(addon, `${folder}/${name}`)
}
