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
import { parseArgs } from 'node:util'
import { kill, start } from './children.mjs'
import { record } from './results.mjs'

const names = readdirSync(new URL('cases/', import.meta.url))
  .map(file => file.replace('.mjs', ''))
  .sort()
const cases = new Map()
for (const name of names) cases.set(name, await import(`./cases/${name}.mjs`))

const { only, long, record: isRecorded, ...changed } = flags()
// Other programs may use the machine, too.
setPriority(constants.priority.PRIORITY_BELOW_NORMAL)
let failed = 0
for (const name of only ?? names) failed += Number(!(await runCase(name, cases.get(name))))
console.log(failed === 0 ? '\nAll cases passed.' : `\n${failed} cases failed.`)
process.exit(failed === 0 ? 0 : 1)

/** Parses the command line. All options of the cases are numbers. */
function flags() {
  const numbers = new Set([...cases.values()].flatMap(({ options }) => Object.keys(options)))
  const { values } = parseArgs({
    options: {
      only: { type: 'string', multiple: true },
      long: { type: 'boolean', default: false },
      record: { type: 'boolean', default: false },
      ...Object.fromEntries([...numbers].map(name => [name, { type: 'string' }])),
    },
  })
  const unknown = values.only?.filter(name => !cases.has(name)) ?? []
  if (unknown.length > 0) {
    console.error(`No case is called ${unknown.join(', ')}. There are ${names.join(', ')}.`)
    process.exit(2)
  }
  for (const name of numbers) if (values[name] !== undefined) values[name] = Number(values[name])
  return values
}

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
