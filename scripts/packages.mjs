// Builds, packs and tests the npm packages of all systems.
import { runAll } from './run.mjs'

runAll([
  ['node', ['scripts/prepare.mjs']],
  ['node', ['scripts/packages/build.mjs']],
  ['node', ['scripts/packages/pack.mjs']],
  ['node', ['scripts/packages/smoke.mjs']],
  ['node', ['scripts/packages/lint.mjs']],
  ['vitest', ['run', '--config', 'vitest.packages.config.ts']],
])
