// Shows the Markdown files as GitHub does: the same anchors, links and text.
import { existsSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, join, normalize, relative } from 'node:path'
import { anchorOf } from '../scripts/markdown.mjs'
import { PAGES, ROOT } from './pages.mjs'

const { repository } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8'))
/** The address of the repository, without a slash at its end. */
export const REPOSITORY = repository.url.replace(/^git\+|\.git$/g, '')

/** The option `markdown` of VitePress. */
export const markdown = {
  anchor: { slugify: anchorOf },
  // GitHub has neither attributes in braces nor emoticons.
  attrs: { disable: true },
  emoji: { enabled: [], shortcuts: {} },
  config(md) {
    // "SECURITY.md" in a text is no address of a host in Moldova.
    md.linkify.set({ fuzzyLink: false, fuzzyEmail: false })
    md.core.ruler.push('repository', ({ tokens, env }) => {
      const page = relative(ROOT, env.realPath ?? env.path)
      for (const { children } of tokens) {
        for (const token of children ?? []) resolve(token, page)
      }
    })
    const { fence } = md.renderer.rules
    // VitePress copies the commands of shells without their prompts.
    md.renderer.rules.fence = (...args) =>
      fence(...args).replace('class="language-console', 'class="language-shell language-console')
  },
}

/** Makes a link to a page one within the site, any other one to the repository, and a picture text. */
function resolve(token, page) {
  if (token.type === 'link_open') token.attrSet('href', addressOf(token.attrGet('href'), page))
  if (token.type !== 'image') return
  const file = normalize(join(dirname(page), token.attrGet('src')))
  if (!file.startsWith('docs/pictures/')) return
  token.type = 'html_inline'
  token.content = pictureOf(file)
}

function addressOf(href, page) {
  if (/^[a-z]+:|^#/.test(href)) return href
  const [, path, anchor] = /^([^#]*)(.*)$/.exec(href)
  const file = normalize(join(dirname(page), path)).replace(/\/$/, '')
  const target = PAGES.get(file) ?? PAGES.get(`${file}/README.md`)
  if (target !== undefined) return `/${target}${anchor}`
  if (!existsSync(`${ROOT}${file}`)) throw new Error(`${page}: ${href} does not exist`)
  const kind = statSync(`${ROOT}${file}`).isDirectory() ? 'tree' : 'blob'
  return `${REPOSITORY}/${kind}/main/${file}${anchor}`
}

/**
 * Returns a picture as a part of the page, so that its text can be selected and its colours follow
 * the page's. Its identifiers and styles apply to itself only.
 */
function pictureOf(file) {
  const id = `picture-${basename(file, '.svg')}`
  const svg = readFileSync(`${ROOT}${file}`, 'utf8')
    .replace('<svg ', `<svg id="${id}" `)
    .replace(/(?<= id=")(?!picture-)/g, `${id}-`)
    .replace(/(?<= aria-labelledby=")(\w+) (\w+)/, `${id}-$1 ${id}-$2`)
    .replaceAll('url(#', `url(#${id}-`)
    .replace('@media (prefers-color-scheme: dark) {', '.dark & {')
    .replace(/<style>(.*)<\/style>/s, `<style>#${id} {$1}</style>`)
  // Vue would drop a style of its template, so this is the content of an element.
  const text = JSON.stringify(svg)
    .replaceAll('&', '&amp;')
    .replaceAll('"', '&quot;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
  return `<span class="picture" v-html="${text}"></span>`
}
