// Writes the generated blocks of the reference: signatures, tables of options, members, events and
// exports. They come from the published declarations and from the modules that check the options.
//
// Fails if a page names something that does not exist, and if an export, a public member of a class
// or an option has no place or no doc comment. With --check it writes nothing, and fails if a page is stale.
import { readFileSync, writeFileSync } from 'node:fs'
import { normalize } from 'node:path'
import { Blocks } from './api/blocks.mjs'
import { readEntries } from './api/declarations.mjs'
import { parseCommandLine } from './command-line.mjs'
import { listFiles } from './files.mjs'
import { anchorOf } from './markdown.mjs'

process.chdir(new URL('..', import.meta.url).pathname)

const BLOCK = /(<!-- api:(?!end)([\w-]+) ?([^>]*?) ?-->\n)[\s\S]*?(<!-- api:end -->)/g

const flags = parseCommandLine(import.meta.url, { check: { type: 'boolean' } })
const blocks = new Blocks(readEntries(process.cwd()))
const pages = listFiles(['docs/'])
  .map(normalize)
  .filter(file => file.endsWith('.md') && readFileSync(file, 'utf8').includes('<!-- api:'))

for (const page of pages) eachBlock(page, (kind, args, where) => blocks.place(kind, args, where))
for (const page of pages) {
  eachBlock(page, (kind, args, where) => {
    if (kind === 'members' && args.length === 1) blocks.placeRest(args[0], where)
  })
}
report('The reference does not describe', blocks.missing())
report('There is no doc comment for', blocks.undocumented())
const stale = pages.filter(page => readFileSync(page, 'utf8') !== rendered(page))
for (const page of stale) {
  if (flags.check) console.error(`${page} is stale: node scripts/api-docs.mjs`)
  else writeFileSync(page, rendered(page))
}
if (flags.check && stale.length > 0) process.exitCode = 1

function report(problem, names) {
  if (names.length === 0) return
  console.error(`${problem} ${names.join(', ')}`)
  process.exitCode = 1
}

function rendered(page) {
  const text = readFileSync(page, 'utf8')
  return text.replace(BLOCK, (_, start, kind, args, end, index) => {
    const { level } = headingBefore(text, index)
    return `${start}\n${blocks.render(kind, words(args), page, level)}\n\n${end}`
  })
}

/** Calls a function for each block of a page, with the heading above it. */
function eachBlock(page, visit) {
  const text = readFileSync(page, 'utf8')
  for (const { index, 2: kind, 3: args } of text.matchAll(BLOCK)) {
    const { title } = headingBefore(text, index)
    visit(kind, words(args), { page, anchor: anchorOf(title), title })
  }
}

/** Returns the heading above a position, without those of generated blocks. */
function headingBefore(text, index) {
  const written = text.slice(0, index).replace(BLOCK, '')
  const [, marks = '', title = ''] = [...written.matchAll(/^(#+) (.*)$/gm)].at(-1) ?? []
  return { level: marks.length, title }
}

function words(text) {
  return text.split(' ').filter(word => word !== '')
}
