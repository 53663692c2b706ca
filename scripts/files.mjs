// Lists files.
import { readdirSync } from 'node:fs'

/** Returns the paths; one that ends in a slash is replaced by all files below it. */
export function globSync(paths) {
  return paths.flatMap(path => {
    if (!path.endsWith('/')) return [path]
    return readdirSync(path, { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile())
      .map(entry => `${entry.parentPath ?? entry.path}/${entry.name}`)
      .sort()
  })
}
