/** The pictures of the documents. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const read = (file: string) => readFileSync(join(root, file), 'utf8')

const PICTURES = readdirSync(join(root, 'docs/pictures'))
const PAGES = [
  ...readdirSync(root),
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' }).map(
    file => `docs/${file}`,
  ),
].filter(file => file.endsWith('.md'))

/** The colours, the fonts and the heads of arrows. */
const styleOf = (svg: string) => /<style>.*<\/defs>/s.exec(svg)?.[0]

describe.each(PICTURES)('the picture %s', name => {
  const svg = read(`docs/pictures/${name}`)

  it('has a title, a description and selectable text', () => {
    expect(svg).toMatch(/^<svg [^>]*role="img" aria-labelledby="title desc"/)
    expect(svg).toMatch(/<title id="title">[^<]{10,}<\/title>/)
    expect(svg).toMatch(/<desc id="desc">[^<]{50,}<\/desc>/)
    expect(svg.match(/<text /g)?.length).toBeGreaterThan(3)
  })

  it('has the style of the other pictures, in light and dark', () => {
    expect(styleOf(svg)).toContain('@media (prefers-color-scheme: dark)')
    expect(styleOf(svg)).toBe(styleOf(read(`docs/pictures/${PICTURES[0]}`)))
    const colours = svg.replace(/<style>.*<\/style>/s, '').match(/#[0-9a-f]{3,8}\b/g) ?? []
    expect(colours).toEqual([])
  })

  it('is on a page, with alternative text', () => {
    const embedded = PAGES.flatMap(page => [
      ...read(page).matchAll(/!\[([^\]]*)\]\(([^)]*pictures\/[^)]*)\)/g),
    ]).filter(([, , path]) => path?.endsWith(`pictures/${name}`))
    expect(embedded.length).toBeGreaterThan(0)
    for (const [, text] of embedded) expect(text?.length).toBeGreaterThan(20)
  })
})
