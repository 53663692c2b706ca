// Runs all checks of CI. With --after-test it assumes that `npm test` has passed.
import { runAll } from './run.mjs'

const tested = process.argv.includes('--after-test')

runAll([
  ...(tested ? [] : [['npm', ['test']]]),
  ['node', ['scripts/prepare.mjs']],
  ['cargo', ['fmt', '--all', '--check']],
  ['cargo', ['clippy', '--workspace', '--all-targets', '--locked', '--', '-D', 'warnings']],
  ['biome', ['check', '--error-on-warnings']],
  ['tsc', ['--noEmit', '--project', 'tsconfig.json']],
  ['tsc', ['--noEmit', '--project', '__test__/tsconfig.json']],
  // The generated types and the lock files are committed: they must be up to date.
  [
    'git',
    ['diff', '--exit-code', '--stat', '--', 'native.d.ts', 'package-lock.json', 'Cargo.lock'],
  ],
  ['node', ['scripts/check-docs.mjs']],
  ['node', ['scripts/matrix.mjs']],
])
console.log('\nAll checks passed.')
