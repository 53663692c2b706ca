/** Checks the site in target/site: its links, and what a browser shows. */
import { readFileSync } from 'node:fs'
import { look } from './browse.mjs'
import { brokenLinks } from './links.mjs'
import { PAGES, ROOT } from './pages.mjs'

process.chdir(ROOT)
const folder = 'target/site'
const screenshots = 'target/site-screenshots'
const addressOf = page =>
  `/${PAGES.get(page)
    .replace(/(^|\/)index\.md$/, '$1')
    .replace(/\.md$/, '.html')}`

const problems = [
  ...brokenLinks(folder),
  ...(await look({
    folder,
    screenshots,
    addresses: [...PAGES.keys()].map(addressOf),
    examined: ['README.md', 'docs/api/sending.md'].map(addressOf),
    word: 'sendBufferSize',
    found: addressOf('docs/deadlines.md'),
    code: /```js[^\n]*\n(.*?)```/s.exec(readFileSync('README.md', 'utf8'))?.[1],
  })),
]
for (const problem of problems) console.error(problem)
if (problems.length > 0) {
  console.error(
    `\nFound ${problems.length} problems in the site. Screenshots are in ${screenshots}/.`,
  )
  process.exit(1)
}
console.log(`Checked the ${PAGES.size} pages of the site. Screenshots are in ${screenshots}/.`)
