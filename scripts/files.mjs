// Lists files.
import { readdirSync } from 'node:fs'

/** Returns the paths, with each path that ends in a slash replaced by all files below it. */
export function listFiles(paths) {
  return paths.flatMap(path => {
    if (!path.endsWith('/')) return [path]
    return readdirSync(path, { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile())
      .map(entry => `${entry.parentPath ?? entry.path}/${entry.name}`)
      .sort()
  })
}
