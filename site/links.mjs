/** Checks the links of the built site. */
import { existsSync, readFileSync } from 'node:fs'
import { normalize } from 'node:path'
import { listFiles } from '../scripts/files.mjs'

/** Returns a text for each link and picture of the site in `folder` that leads nowhere. */
export function brokenLinks(folder) {
  const pages = new Map(
    listFiles([`${folder}/`])
      .map(normalize)
      .filter(file => file.endsWith('.html'))
      .map(file => [file.slice(folder.length), read(file)]),
  )
  const problems = []
  for (const [page, { targets }] of pages) {
    for (const target of targets) {
      const url = new URL(target, `file://${page}`)
      if (url.protocol !== 'file:') continue
      const path = decodeURIComponent(url.pathname).replace(/\/$/, '/index.html')
      const anchor = decodeURIComponent(url.hash.slice(1))
      if (!existsSync(`${folder}${path}`)) problems.push(`${page}: ${target} does not exist`)
      else if (anchor !== '' && !pages.get(path)?.anchors.has(anchor))
        problems.push(`${page}: #${anchor} leads to no heading of ${path}`)
    }
  }
  if (pages.size === 0) problems.push(`${folder} has no pages`)
  return problems
}

function read(file) {
  const html = readFileSync(file, 'utf8')
  const all = pattern =>
    [...html.matchAll(pattern)].map(([, text]) => text.replaceAll('&amp;', '&'))
  return { targets: all(/\s(?:href|src)="([^"]*)"/g), anchors: new Set(all(/\sid="([^"]*)"/g)) }
}
