// Installs and builds what is missing or stale, and does nothing twice. Needs no package itself.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { globSync } from './files.mjs'

const root = new URL('..', import.meta.url)
process.chdir(root.pathname)

/** What each step is made of and makes; a step is stale when the hash of its inputs has changed. */
const STEPS = [
  {
    name: 'packages',
    inputs: ['package-lock.json'],
    outputs: ['node_modules/.package-lock.json'],
    // Not `npm ci`: it refuses a lock file that lacks binaries for systems that fdwire is not for,
    // and not every registry has those. The lock file decides all the same, and stays as it is.
    run: () => command('npm', ['install', '--no-save', '--no-audit', '--no-fund']),
  },
  {
    name: 'addon',
    inputs: ['Cargo.toml', 'Cargo.lock', 'build.rs', 'package-lock.json', 'crates/'],
    outputs: ['native.js', 'native.d.ts', `fdwire.${platform()}.node`],
    run: () =>
      command('npx', [
        'napi',
        'build',
        '--platform',
        '--release',
        '--no-const-enum',
        '--manifest-path=crates/node/Cargo.toml',
        '--output-dir=.',
        '--js=native.js',
        '--dts=native.d.ts',
        '--esm',
        '--',
        '--locked',
      ]),
  },
  {
    name: 'javascript',
    inputs: ['tsconfig.json', 'index.ts', 'lib/', 'native.d.ts', 'package-lock.json'],
    outputs: ['dist/index.js'],
    run: () => {
      rmSync('dist', { recursive: true, force: true })
      command('npx', ['tsc', '--project', 'tsconfig.json'])
    },
  },
]

const stampFile = 'target/prepared.json'
const stamps = existsSync(stampFile) ? JSON.parse(readFileSync(stampFile, 'utf8')) : {}

for (const step of STEPS) {
  const stamp = hash(step.inputs)
  if (stamps[step.name] === stamp && step.outputs.every(file => existsSync(file))) continue
  console.error(`prepare: ${step.name}`)
  step.run()
  // A step may have written one of its own inputs.
  stamps[step.name] = hash(step.inputs)
  mkdirSync('target', { recursive: true })
  writeFileSync(stampFile, JSON.stringify(stamps))
}

function hash(inputs) {
  const sum = createHash('sha256').update(process.version)
  for (const file of globSync(inputs)) sum.update(file).update('\0').update(readFileSync(file))
  return sum.digest('hex')
}

function platform() {
  const libc = process.report.getReport().header.glibcVersionRuntime ? 'gnu' : 'musl'
  return `linux-${process.arch}-${libc}`
}

function command(name, args) {
  const { status, error } = spawnSync(name, args, { stdio: ['ignore', 2, 2] })
  if (error || status !== 0) {
    console.error(`prepare: ${name} ${args.join(' ')} failed: ${error?.message ?? status}`)
    process.exit(1)
  }
}
