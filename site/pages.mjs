// The pages of the site and their order. Every page is a Markdown file of the repository.
import { readFileSync } from 'node:fs'
import { normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { listFiles } from '../scripts/files.mjs'

export const ROOT = fileURLToPath(new URL('..', import.meta.url))

/**
 * The sections of the sidebar, with their pages in order. A path that ends in a slash stands for the
 * pages of that folder, by title, that are not listed themselves.
 */
const SECTIONS = [
  ['Start', ['README.md', 'docs/install.md']],
  [
    'Guides',
    [
      'docs/guides/README.md',
      'docs/guides/choosing.md',
      'docs/guides/requests.md',
      'docs/guides/descriptors.md',
      'docs/guides/back-pressure.md',
      'docs/guides/typescript.md',
      'docs/guides/testing.md',
      'docs/guides/security.md',
      'docs/guides/',
      'docs/guides/troubleshooting.md',
    ],
  ],
  [
    'Channels',
    [
      'docs/api/README.md',
      'docs/api/opening.md',
      'docs/api/listener.md',
      'docs/api/addresses.md',
      'docs/api/protocols.md',
      'docs/api/options.md',
      'docs/api/sending.md',
      'docs/api/receiving.md',
      'docs/request.md',
      'docs/serve.md',
      'docs/api/events-and-closing.md',
      'docs/api/properties.md',
      'docs/errors.md',
      'docs/api/errors.md',
    ],
  ],
  [
    'Descriptors and streams',
    [
      'docs/api/descriptors.md',
      'docs/api/memory-files.md',
      'docs/api/handing-over.md',
      'docs/streams.md',
      'docs/api/codec.md',
    ],
  ],
  [
    'More about channels',
    [
      'docs/deadlines.md',
      'docs/reconnect.md',
      'docs/stopped-clients.md',
      'docs/encodings.md',
      'docs/types.md',
      'docs/diagnostics.md',
      'docs/api/runtime.md',
    ],
  ],
  [
    'Other entries',
    ['docs/systemd.md', 'docs/dispatch.md', 'docs/api/', 'docs/peers.md', 'docs/cli.md'],
  ],
  ['Protocols', ['docs/protocols/']],
  ['Migration', ['docs/migration/README.md', 'docs/migration/']],
  [
    'Project',
    [
      'docs/performance.md',
      'docs/reliability.md',
      'docs/unsafe.md',
      'ARCHITECTURE.md',
      'SECURITY.md',
      'CONTRIBUTING.md',
      'CHANGELOG.md',
    ],
  ],
]

/** The pages that exist: those in docs/, and those that a section names in the root folder. */
const files = [
  ...SECTIONS.flatMap(([, pages]) => pages).filter(page => !page.includes('/')),
  ...listFiles([`${ROOT}docs/`])
    .map(file => normalize(file).slice(ROOT.length))
    .filter(file => file.endsWith('.md')),
]

const titles = new Map(files.map(file => [file, titleOf(file)]))
const listed = SECTIONS.flatMap(([, pages]) => pages)

/** Maps each page to the file that shows it: a README becomes the index of its folder. */
export const PAGES = new Map(
  files.map(file => [file, file.replace(/(^|\/)README\.md$/, '$1index.md')]),
)

/** Returns the sections with their pages. Throws if a page is in none, or does not exist. */
export function sections() {
  const result = SECTIONS.map(([title, pages]) => ({ title, pages: pages.flatMap(expand) }))
  const shown = new Set(result.flatMap(({ pages }) => pages))
  const missing = files.filter(file => !shown.has(file))
  if (missing.length > 0) {
    throw new Error(`No section in site/pages.mjs lists ${missing.join(', ')}`)
  }
  return result.map(({ title, pages }) => ({
    title,
    pages: pages.map(file => ({ file, title: titles.get(file) })),
  }))
}

function expand(page) {
  if (titles.has(page)) return [page]
  const found = files
    .filter(file => file.startsWith(page) && page.endsWith('/') && !listed.includes(file))
    .sort((a, b) => titles.get(a).localeCompare(titles.get(b)))
  if (found.length === 0) throw new Error(`site/pages.mjs lists ${page}, which does not exist`)
  return found
}

/** Returns the first heading of a page. */
function titleOf(file) {
  const heading = /^# (.+)$/m.exec(readFileSync(`${ROOT}${file}`, 'utf8'))?.[1]
  if (heading === undefined) throw new Error(`${file} has no heading of the first level`)
  return heading.replaceAll('`', '')
}
