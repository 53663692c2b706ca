// Runs all tests: those of the Rust crates, then those of the built package with real sockets and
// processes.
import { spawnSync } from 'node:child_process'
import { runAll } from './run.mjs'

requireDbusDaemon()
runAll([
  ['cargo', ['test', '--workspace', '--locked', '--quiet']],
  ['vitest', ['run']],
])

/**
 * Exits if dbus-daemon is missing, which a test needs. Installs it first if run as root on Debian.
 */
function requireDbusDaemon() {
  const isInstalled = () => spawnSync('dbus-daemon', ['--version']).status === 0
  if (isInstalled()) return
  if (process.getuid?.() === 0 && spawnSync('apt-get', ['--version']).status === 0) {
    const install = ['install', '-q', '-y', '--no-install-recommends', 'dbus-daemon']
    for (const args of [['update', '-q'], install]) {
      spawnSync('apt-get', args, { stdio: ['ignore', 2, 2] })
    }
  }
  if (isInstalled()) return
  console.error(
    'The tests need the program dbus-daemon, and it is not in PATH. Install it with the package ' +
      'manager of your system, for example: sudo apt-get install dbus-daemon',
  )
  process.exit(1)
}
