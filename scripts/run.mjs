// Runs commands of the repository.
import { spawnSync } from 'node:child_process'

process.chdir(new URL('..', import.meta.url).pathname)
process.env.PATH = `${process.cwd()}/node_modules/.bin:${process.env.PATH}`

/**
 * Runs the steps `[command, arguments, spawnOptions?]` in order. Exits with 1 at the first failure.
 */
export function runAll(steps) {
  for (const [name, args, options = {}] of steps) {
    const command = [name, ...args].join(' ')
    console.log(`\n==> ${command}`)
    const { status, signal, error } = spawnSync(name, args, { stdio: 'inherit', ...options })
    if (status === 0) continue
    const reason = error?.message ?? (signal ? `killed by ${signal}` : `exit code ${status}`)
    console.error(`\nFailed in ${process.cwd()}: ${command} (${reason})`)
    process.exit(1)
  }
}
