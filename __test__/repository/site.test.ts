import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
// @ts-expect-error These scripts have no types.
import { brokenLinks } from '../../site/links.mjs'
// @ts-expect-error
import { ROOT, sections } from '../../site/pages.mjs'
import { cleanUpAfterEach, temporaryDirectory } from '../support/processes.js'

cleanUpAfterEach()

interface Section {
  title: string
  pages: { file: string; title: string }[]
}

describe('the sidebar of the site', () => {
  const shown = (sections() as Section[]).flatMap(({ pages }) => pages)

  it('lists each page of docs/ once, with its first heading', () => {
    const pages = readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
      .filter(file => file.endsWith('.md'))
      .map(file => `docs/${file}`)
    const listed = shown.map(({ file }) => file)
    expect(listed.filter(file => file.startsWith('docs/')).sort()).toEqual(pages.sort())
    expect(listed).toEqual([...new Set(listed)])
    for (const { file, title } of shown) {
      const text = readFileSync(join(ROOT, file), 'utf8').replaceAll('`', '')
      expect(/^# (.*)$/m.exec(text)?.[1], file).toBe(title)
    }
  })
})

describe('the check of the links of the site', () => {
  it('reports links to files and headings that do not exist, and no others', () => {
    const folder = temporaryDirectory()
    mkdirSync(join(folder, 'docs'))
    writeFileSync(
      join(folder, 'index.html'),
      '<h1 id="top"><a href="docs/a.html#b">a</a> <a href="https://example.org/">b</a>',
    )
    writeFileSync(
      join(folder, 'docs/a.html'),
      '<h2 id="b"></h2> <a href="/">c</a> <a href="/#top">d</a> <a href="#c">e</a> <img src="x.svg">',
    )
    expect(brokenLinks(folder)).toEqual([
      '/docs/a.html: #c leads to no heading of /docs/a.html',
      '/docs/a.html: x.svg does not exist',
    ])
  })
})
