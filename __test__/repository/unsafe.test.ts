import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const page = readFileSync(join(root, 'docs/unsafe.md'), 'utf8')

/** Returns how many unsafe blocks and implementations each file of the crates has. */
function blocks(): Record<string, number> {
  const files = readdirSync(join(root, 'crates'), { recursive: true, withFileTypes: true })
  const sources = files.filter(file => file.name.endsWith('.rs') && /\/src\b/.test(file.parentPath))
  const counts = sources.map(({ parentPath, name }) => {
    const path = join(parentPath, name)
    const code = readFileSync(path, 'utf8').replace(/^\s*\/\/.*$/gm, '')
    return [relative(root, path), code.match(/\bunsafe (?:\{|impl)/g)?.length ?? 0] as const
  })
  return Object.fromEntries(counts.filter(([, count]) => count > 0))
}

it('docs/unsafe.md lists every file with unsafe code, with the number of its blocks', () => {
  const rows = [...page.matchAll(/^\| `(crates\/[^`]+)` \| (\d+) \|/gm)]
  expect(Object.fromEntries(rows.map(([, file, count]) => [file, Number(count)]))).toEqual(blocks())
})
