// All tests: the crates without Node, then the built package with real sockets and processes.
import { spawnSync } from 'node:child_process'
import { runAll } from './run.mjs'

needDbusDaemon()
runAll([
  ['cargo', ['test', '--workspace', '--locked', '--quiet']],
  ['vitest', ['run']],
])

/** One test speaks with a real one, which no registry of packages has: the system's has. */
function needDbusDaemon() {
  const isThere = () => spawnSync('dbus-daemon', ['--version']).status === 0
  if (isThere()) return
  if (process.getuid?.() === 0 && spawnSync('apt-get', ['--version']).status === 0) {
    const install = ['install', '-q', '-y', '--no-install-recommends', 'dbus-daemon']
    for (const args of [['update', '-q'], install]) {
      spawnSync('apt-get', args, { stdio: ['ignore', 2, 2] })
    }
  }
  if (isThere()) return
  console.error('The tests need dbus-daemon: apt-get install dbus-daemon, or what your system has.')
  process.exit(1)
}
