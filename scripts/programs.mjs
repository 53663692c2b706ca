// The programs that tests run, from packages of Debian.
import { spawnSync } from 'node:child_process'

/**
 * Exits if a program that `purpose` needs is missing. Installs it first if run as root on Debian.
 *
 * A program is the `name` of its package, and `test`, a command that succeeds once it is installed.
 */
export function requirePrograms(purpose, programs) {
  const missing = () => programs.filter(({ test }) => spawnSync(...test).status !== 0)
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
    `${purpose} need the programs of ${left.join(' and ')}, which are not in PATH. Install them with ` +
      `the package manager of your system, for example: sudo apt-get install ${left.join(' ')}`,
  )
  process.exit(1)
}
