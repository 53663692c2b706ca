// Runs the steps of a list one after the other, with their own output; the first that fails ends it.
import { spawnSync } from 'node:child_process'

process.chdir(new URL('..', import.meta.url).pathname)
process.env.PATH = `${process.cwd()}/node_modules/.bin:${process.env.PATH}`

export function runAll(steps) {
  for (const [name, args, options = {}] of steps) {
    console.log(`\n==> ${[name, ...args].join(' ')}`)
    const { status, signal, error } = spawnSync(name, args, { stdio: 'inherit', ...options })
    if (status === 0) continue
    console.error(`\n${name} ${args[0] ?? ''} failed: ${error?.message ?? signal ?? status}`)
    process.exit(1)
  }
}
