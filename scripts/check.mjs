// What CI runs: the tests, and that everything is formatted, clean, typed, fresh and true.
// With --after-test the tests have been run already.
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
  // The generated types are committed: they must be what the addon of these sources has.
  [
    'git',
    ['diff', '--exit-code', '--stat', '--', 'native.d.ts', 'package-lock.json', 'Cargo.lock'],
  ],
  ['node', ['scripts/check-docs.mjs']],
  ['node', ['scripts/matrix.mjs']],
])
console.log('\nAll checks passed.')
