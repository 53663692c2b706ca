import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))

const FOLDERS = ['lib', 'crates', '__test__', 'bench', 'scripts', 'site', 'stress', 'examples']
const EXTENSIONS = /\.(?:ts|mts|js|mjs|rs|py)$/
const MAX_LINES = 400

/**
 * Returns the source files below a folder, without those of installed packages and build outputs.
 */
function sourcesIn(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap(entry => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) {
      return ['node_modules', 'target'].includes(entry.name) ? [] : sourcesIn(path)
    }
    return EXTENSIONS.test(entry.name) ? [path] : []
  })
}

describe('a source file', () => {
  it.each(FOLDERS)(`has at most ${MAX_LINES} lines: %s/`, folder => {
    const sources = sourcesIn(folder)
    expect(sources.length).toBeGreaterThan(0)
    const tooLong = sources
      .map(file => ({ file, lines: readFileSync(join(root, file), 'utf8').split('\n').length - 1 }))
      .filter(({ lines }) => lines > MAX_LINES)
    expect(tooLong).toEqual([])
  })
})
