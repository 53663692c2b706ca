// Runs all checks of CI. With --after-test it assumes that `npm test` has passed.
import { parseCommandLine } from './command-line.mjs'
import { runAll } from './run.mjs'

const GENERATED = [
  'native.d.ts',
  'docs/cli.md',
  'npm',
  'THIRD_PARTY_NOTICES.md',
  'package-lock.json',
  'Cargo.lock',
]
const flags = parseCommandLine(import.meta.url, { 'after-test': { type: 'boolean' } })

runAll([
  ...(flags['after-test'] ? [] : [['npm', ['test']]]),
  ['node', ['scripts/prepare.mjs']],
  ['cargo', ['fmt', '--all', '--check']],
  ['cargo', ['clippy', '--workspace', '--all-targets', '--locked', '--', '-D', 'warnings']],
  ['biome', ['check', '--error-on-warnings']],
  ['tsc', ['--noEmit', '--project', 'tsconfig.json']],
  ['tsc', ['--noEmit', '--project', '__test__/tsconfig.json']],
  ['tsc', ['--noEmit', '--project', 'examples/tsconfig.json']],
  ['node', ['scripts/cli-docs.mjs']],
  ['node', ['scripts/api-docs.mjs', '--check']],
  ['node', ['scripts/packages/describe.mjs']],
  ['node', ['scripts/packages/notices.mjs']],
  // The generated files and the lock files are committed: they must be up to date.
  ['git', ['diff', '--exit-code', '--stat', '--', ...GENERATED]],
  ['node', ['stress/main.mjs']],
  ['node', ['--expose-gc', 'stress/soak.mjs', '--minutes', '0.5']],
  ['node', ['bench/run.mjs', '--quick']],
  ['node', ['bench/instructions.mjs']],
  ['node', ['scripts/memory.mjs']],
  // The tables and charts of the documents show the committed results.
  ['node', ['bench/report/main.mjs', '--check']],
  ['node', ['scripts/check-docs.mjs']],
  ['node', ['site/main.mjs', '--check']],
  ['node', ['scripts/matrix.mjs']],
])
console.log('\nAll checks passed.')
