// Lists files: a path that ends in a slash stands for all below it.
import { readdirSync } from 'node:fs'

export function globSync(paths) {
  return paths.flatMap(path => {
    if (!path.endsWith('/')) return [path]
    return readdirSync(path, { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile())
      .map(entry => `${entry.parentPath ?? entry.path}/${entry.name}`)
      .sort()
  })
}
