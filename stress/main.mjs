/**
 * The stress program: tests channels against peers that die, stop or flood, and on systems without free
 * descriptors or disk space.
 *
 *     npm run stress -- [--only NAME] [--long] [--OPTION N] [--record]
 *
 * Runs each case of `cases/` in a separate process and prints its figures. The exit code is 1 if a case
 * fails. `--long` chooses the long form, which an option of a case such as `--kills 50` changes. With
 * `--record` the figures are written to `results/`, from which docs/reliability.md is generated.
 */
import { readdirSync } from 'node:fs'
import { constants, setPriority } from 'node:os'
import { parseCommandLine } from '../scripts/command-line.mjs'
import { kill, start } from './children.mjs'
import { record } from './results.mjs'

const names = readdirSync(new URL('cases/', import.meta.url))
  .map(file => file.replace('.mjs', ''))
  .sort()
const cases = new Map()
for (const name of names) cases.set(name, await import(`./cases/${name}.mjs`))

/** The options of the cases, all of which are numbers. */
const numbers = new Set([...cases.values()].flatMap(({ options }) => Object.keys(options)))
const {
  only = names,
  long,
  record: isRecorded,
  ...changed
} = parseCommandLine(import.meta.url, {
  only: { type: 'string', multiple: true, choices: names },
  long: { type: 'boolean' },
  record: { type: 'boolean' },
  ...Object.fromEntries([...numbers].map(name => [name, { type: 'number' }])),
})
// Other programs may use the machine, too.
setPriority(constants.priority.PRIORITY_BELOW_NORMAL)
let failed = 0
for (const name of only) failed += Number(!(await runCase(name, cases.get(name))))
console.log(failed === 0 ? '\nAll cases passed.' : `\n${failed} cases failed.`)
process.exit(failed === 0 ? 0 : 1)

/** Runs a case. Resolves to whether it passed. */
async function runCase(name, { title, options, skip, count }) {
  const form = long ? 'long' : 'short'
  const settings = Object.fromEntries(
    Object.entries(options).map(([option, of]) => [option, changed[option] ?? of[form]]),
  )
  console.log(`\n==> ${name}: ${title} ${JSON.stringify(settings)}`)
  const reason = skip?.()
  if (reason !== undefined) {
    console.log(`SKIPPED: ${reason}`)
    return true
  }
  const child = start('case.mjs', { name, settings }, { node: ['--expose-gc'] })
  const { error, figures, seconds } = await child.next().catch(error => ({ error: error.stack }))
  await kill(child)
  if (error !== undefined) {
    console.error(`FAILED: ${error}`)
    return false
  }
  console.log(`passed in ${seconds} s: ${JSON.stringify(figures)}`)
  const given = Object.entries(settings).map(([option, value]) => ` --${option} ${value}`)
  const command = `npm run stress -- --only ${name}${given.join('')}`
  if (isRecorded) record(name, { title, command, seconds, ...count(figures), figures })
  return true
}
