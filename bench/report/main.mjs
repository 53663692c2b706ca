// @ts-check
/**
 * Writes the tables and charts of the documents from the committed results. With --check it changes
 * nothing, and fails if a file is not as it would write it.
 *
 * A table or sentence of a document is between the comments `<!-- bench:NAME -->` and
 * `<!-- bench:end -->`, or `stress` instead of `bench` if it shows the results of `stress/`.
 */

import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseCommandLine } from '../../scripts/command-line.mjs'
import { readAll } from '../results.mjs'
import { reliabilityText } from './reliability.mjs'
import { textOf } from './tables.mjs'

const PAGES = ['README.md', 'docs/performance.md', 'docs/reliability.md']
const CHARTS = 'docs/charts'

const flags = parseCommandLine(import.meta.url, { check: { type: 'boolean' } })
const root = new URL('../../', import.meta.url)
installLibrary()
// This imports the library.
const { drawAll } = await import('./charts.mjs')
const { soakChart } = await import('./reliability-charts.mjs')

const results = readAll()
if (results.length === 0) throw new Error('There are no results: run the benchmark with --record')

const files = [
  ...PAGES.map(page => ({ file: page, text: withTables(page) })),
  ...[...drawAll(results), soakChart()].map(({ name, svg }) => ({
    file: `${CHARTS}/${name}.svg`,
    text: svg,
  })),
]
mkdirSync(new URL(CHARTS, root), { recursive: true })
const stale = files.filter(({ file, text }) => read(file) !== text)
for (const { file, text } of stale) {
  if (flags.check) console.error(`${file} does not show the results: npm run bench:report`)
  else writeFileSync(new URL(file, root), text)
}
if (flags.check && stale.length > 0) process.exitCode = 1
else console.log(`${flags.check ? 'Checked' : 'Wrote'} ${files.length} documents and charts.`)

/** Returns a page with its tables replaced. @param {string} page */
function withTables(page) {
  return (read(page) ?? '').replace(
    /(<!-- (bench|stress):(?!end)([\w-]+) -->\n)[\s\S]*?(<!-- \2:end -->)/g,
    (_, start, source, name, end) => {
      const text = source === 'bench' ? textOf(name, results) : reliabilityText(name)
      return `${start}\n${text}\n\n${end}`
    },
  )
}

/** @param {string} file */
function read(file) {
  const url = new URL(file, root)
  return existsSync(url) ? readFileSync(url, 'utf8') : undefined
}

function installLibrary() {
  const folder = fileURLToPath(new URL('.', import.meta.url))
  if (existsSync(`${folder}node_modules`)) return
  execFileSync('npm', ['ci', '--no-audit', '--no-fund'], {
    cwd: folder,
    stdio: ['ignore', 2, 2],
  })
}
