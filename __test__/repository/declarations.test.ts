import { readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const read = (file: string) => readFileSync(join(root, file), 'utf8')

/** Where a name is declared: the file and the name there. */
type Declaration = `${string}#${string}`

/** The generated declaration files that the package exports. */
const entries: string[] = Object.values(JSON.parse(read('package.json')).exports)
  .map(entry => (entry as { types?: string }).types)
  .filter(types => types !== undefined)

const COMMENT = /\/\*[\s\S]*?\*\/|\/\/.*/g
const FROM = /\b(import|export) ([^'";]*) from '([^']+)'/g
const DECLARED =
  /^export (?:declare )?(?:abstract )?(?:class|function|const|let|interface|type|enum) (\w+)/gm

/** Returns the file of a module, `#native` included; undefined for one of another package. */
function resolve(file: string, specifier: string): string | undefined {
  if (specifier === '#native') return specifier
  if (!specifier.startsWith('.')) return undefined
  return normalize(join(dirname(file), specifier.replace(/\.js$/, '.d.ts')))
}

/** The names of an import or export clause: `[name in the other module, name here]`. */
function namesIn(clause: string): [string, string][] {
  const list = /\{([^}]*)\}/.exec(clause)?.[1] ?? ''
  const names = list.split(',').map(name => name.trim().replace(/^type /, ''))
  return names
    .filter(name => name !== '')
    .map(name => name.split(' as '))
    .map(([from = '', here = from]) => [from, here])
}

/** What a declaration file imports from files of the package, by the name that it has here. */
function importsOf(file: string): Map<string, Declaration> {
  const imports = new Map<string, Declaration>()
  for (const [, keyword, clause = '', specifier = ''] of read(file).matchAll(FROM)) {
    const target = resolve(file, specifier)
    if (keyword !== 'import' || target === undefined) continue
    for (const [name, here] of namesIn(clause)) imports.set(here, declarationOf(target, name))
    const namespace = /\* as (\w+)/.exec(clause)?.[1]
    if (namespace !== undefined) imports.set(namespace, `${target}#*`)
  }
  return imports
}

/** What a declaration file exports, by the name that it has here. */
function exportsOf(file: string): Map<string, Declaration> {
  const source = read(file)
  const exports = new Map<string, Declaration>()
  for (const [, name = ''] of source.matchAll(DECLARED)) exports.set(name, `${file}#${name}`)
  for (const [, keyword, clause = '', specifier = ''] of source.matchAll(FROM)) {
    const target = resolve(file, specifier)
    if (keyword !== 'export' || target === undefined) continue
    for (const [name, here] of namesIn(clause)) exports.set(here, declarationOf(target, name))
    if (clause.includes('*')) for (const [name, from] of exportsOf(target)) exports.set(name, from)
  }
  return exports
}

/** Follows re-exports from a file to the declaration of a name. */
function declarationOf(file: string, name: string): Declaration {
  return (file === '#native' ? undefined : exportsOf(file).get(name)) ?? `${file}#${name}`
}

/** The declaration files that a program loads with an entry. */
function reachableFrom(files: readonly string[]): Set<string> {
  const reached = new Set<string>()
  const visit = (file: string) => {
    if (reached.has(file)) return
    reached.add(file)
    const source = read(file)
    const specifiers = source.matchAll(/ from '([^']+)'|\bimport\(['"]([^'"]+)['"]\)/g)
    for (const [, first, second] of specifiers) {
      const target = resolve(file, first ?? second ?? '')
      if (target !== undefined && target !== '#native') visit(target)
    }
  }
  for (const file of files) visit(file)
  return reached
}

/** Returns the text between the braces of a class, comments included. */
function bodyOf({ file, name }: { file: string; name: string }): string {
  const source = read(file)
  const start = new RegExp(`^export declare (?:abstract )?class ${name}\\b.*\\{\n`, 'm').exec(
    source,
  )
  if (start === null) return ''
  const from = start.index + start[0].length
  // tsc puts the closing brace of a declaration at the beginning of a line.
  return source.slice(from, source.indexOf('\n}\n', from))
}

const published = new Set(entries.flatMap(entry => [...exportsOf(normalize(entry)).values()]))
const classes = [...published]
  .map(declaration => declaration.split('#') as [string, string])
  .map(([file, name]) => ({ file, name }))
  .filter(declaration => bodyOf(declaration) !== '')

describe('the published declarations', () => {
  it('are not marked as internal', () => {
    const marked = [...reachableFrom(entries.map(normalize))].filter(file =>
      read(file).includes('@internal'),
    )
    expect(marked).toEqual([])
  })

  it('contain the public classes', () => {
    const names = classes.map(({ name }) => name)
    expect(names).toEqual(expect.arrayContaining(['Channel', 'Codec', 'FdSet', 'Listener']))
  })
})

describe.each(classes)('the published class $name ($file)', ({ file, name }) => {
  const body = bodyOf({ file, name })

  it('has no member that is documented as internal', () => {
    const comments = body.match(/\/\*\*[\s\S]*?\*\//g) ?? []
    expect(comments.filter(comment => /\binternal\b/i.test(comment))).toEqual([])
  })

  it('uses only types that the package exports', () => {
    expect(body).not.toContain('import(')
    const words = new Set(body.replace(COMMENT, '').match(/\b[A-Za-z_]\w*/g))
    const internal = [...importsOf(file)]
      .filter(([here, declaration]) => words.has(here) && !published.has(declaration))
      .map(([here]) => here)
    expect(internal).toEqual([])
  })
})
