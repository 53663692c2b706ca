// Runs all tests: those of the Rust crates, then those of the built package with real sockets and
// processes.
import { spawnSync } from 'node:child_process'
import { runAll } from './run.mjs'

/** The packages of Debian that tests need, and how to find out whether they are installed. */
const PROGRAMS = [
  { name: 'dbus-daemon', test: ['dbus-daemon', ['--version']] },
  { name: 'strace', test: ['strace', ['--version']] },
  { name: 'systemd', test: ['systemd-socket-activate', ['--version']] },
]

requirePrograms()
runAll([
  ['cargo', ['test', '--workspace', '--locked', '--quiet']],
  ['vitest', ['run']],
])

/**
 * Exits if a program that a test needs is missing. Installs it first if run as root on Debian.
 */
function requirePrograms() {
  const missing = () => PROGRAMS.filter(({ test }) => spawnSync(...test).status !== 0)
  const wanted = missing().map(({ name }) => name)
  if (wanted.length === 0) return
  if (process.getuid?.() === 0 && spawnSync('apt-get', ['--version']).status === 0) {
    const install = ['install', '-q', '-y', '--no-install-recommends', ...wanted]
    for (const args of [['update', '-q'], install]) {
      spawnSync('apt-get', args, { stdio: ['ignore', 2, 2] })
    }
  }
  const left = missing().map(({ name }) => name)
  if (left.length === 0) return
  console.error(
    `The tests need the programs of ${left.join(' and ')}, which are not in PATH. Install them with ` +
      `the package manager of your system, for example: sudo apt-get install ${left.join(' ')}`,
  )
  process.exit(1)
}
