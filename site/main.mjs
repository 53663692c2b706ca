/**
 * Builds the site of the documents in target/site. With --check it also checks its links and looks at
 * it in Chromium; with --dev it serves the site, and shows each change of a page at once.
 */
import { parseCommandLine } from '../scripts/command-line.mjs'
import { installLocked } from '../scripts/locked-packages.mjs'
import { requirePrograms } from '../scripts/programs.mjs'
import { runAll } from '../scripts/run.mjs'

const flags = parseCommandLine(import.meta.url, {
  check: { type: 'boolean' },
  dev: { type: 'boolean' },
})

if (flags.check) {
  requirePrograms('The checks of the site', [
    { name: 'chromium', test: ['chromium', ['--version']] },
  ])
}
installLocked('site', 'site')
const vitepress = 'site/node_modules/vitepress/bin/vitepress.js'
runAll([
  ['node', [vitepress, flags.dev ? 'dev' : 'build', 'site']],
  ...(flags.check ? [['node', ['site/check.mjs']]] : []),
])
