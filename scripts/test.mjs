// Runs all tests: those of the Rust crates, then those of the built package with real sockets and
// processes.
import { requirePrograms } from './programs.mjs'
import { runAll } from './run.mjs'

requirePrograms('The tests', [
  { name: 'dbus-daemon', test: ['dbus-daemon', ['--version']] },
  { name: 'strace', test: ['strace', ['--version']] },
  { name: 'systemd', test: ['systemd-socket-activate', ['--version']] },
])
runAll([
  ['cargo', ['test', '--workspace', '--locked', '--quiet']],
  ['vitest', ['run']],
])
