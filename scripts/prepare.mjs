// Installs the packages and builds the addon and the JavaScript, if they are missing or stale. This
// file uses no npm package itself.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { listFiles } from './files.mjs'

const root = new URL('..', import.meta.url)
process.chdir(root.pathname)

/** The file of the addon for this system. */
const ADDON = `fdwire.${platform()}.node`

/**
 * The steps with their input and output files. A step is stale if the hash of its inputs has
 * changed.
 */
const STEPS = [
  {
    name: 'packages',
    inputs: ['package-lock.json'],
    outputs: ['node_modules/.package-lock.json'],
    // `npm ci` rejects a lock file without the packages of all operating systems, which some
    // registries do not provide. This command also installs the versions of the lock file, and does
    // not change it.
    run: () => command('npm', ['install', '--no-save', '--no-audit', '--no-fund']),
  },
  {
    name: 'addon',
    inputs: ['Cargo.toml', 'Cargo.lock', 'build.rs', 'package-lock.json', 'crates/'],
    outputs: ['native.d.ts', ADDON],
    run: () =>
      command('npx', [
        'napi',
        'build',
        '--platform',
        '--release',
        '--no-const-enum',
        '--manifest-path=crates/node/Cargo.toml',
        '--output-dir=.',
        '--no-js',
        '--dts=native.d.ts',
        '--',
        '--locked',
      ]),
  },
  {
    name: 'javascript',
    inputs: ['tsconfig.json', 'index.ts', 'lib/', 'native.d.ts', ADDON, 'package-lock.json'],
    outputs: ['dist/index.js', `dist/lib/native/${ADDON}`],
    run: () => {
      rmSync('dist', { recursive: true, force: true })
      command('npx', ['tsc', '--project', 'tsconfig.json'])
      // The loader looks beside itself first. Tarballs do not contain this copy.
      copyFileSync(ADDON, `dist/lib/native/${ADDON}`)
    },
  },
]

const stampFile = 'target/prepared.json'
const stamps = existsSync(stampFile) ? JSON.parse(readFileSync(stampFile, 'utf8')) : {}

for (const step of STEPS) {
  const stamp = hash(step.inputs)
  if (stamps[step.name] === stamp && step.outputs.every(file => existsSync(file))) continue
  console.error(`prepare: ${step.name}: missing or stale, building`)
  step.run()
  // A step may have changed one of its own inputs.
  stamps[step.name] = hash(step.inputs)
  mkdirSync('target', { recursive: true })
  writeFileSync(stampFile, JSON.stringify(stamps))
}

function hash(inputs) {
  const sum = createHash('sha256').update(process.version)
  for (const file of listFiles(inputs)) sum.update(file).update('\0').update(readFileSync(file))
  return sum.digest('hex')
}

function platform() {
  const libc = process.report.getReport().header.glibcVersionRuntime ? 'gnu' : 'musl'
  return `linux-${process.arch}-${libc}`
}

function command(name, args) {
  const { status, error } = spawnSync(name, args, { stdio: ['ignore', 2, 2] })
  if (error || status !== 0) {
    const reason = error?.message ?? `exit code ${status}`
    console.error(`prepare: failed in ${process.cwd()}: ${name} ${args.join(' ')} (${reason})`)
    process.exit(1)
  }
}
