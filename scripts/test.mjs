// All tests: the crates without Node, then the built package with real sockets and processes.
import { runAll } from './run.mjs'

runAll([
  ['cargo', ['test', '--workspace', '--locked', '--quiet']],
  ['vitest', ['run']],
])
