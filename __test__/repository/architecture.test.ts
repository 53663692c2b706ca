import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** The folders of `lib/`, lowest first: an import points to its own folder or to one before it. */
const LAYERS = [
  'util',
  'native',
  'options',
  'fds',
  'wire',
  'channel',
  'open',
  'systemd',
  'dispatch',
  'compat',
  'cli',
]

const files = (folder: string): string[] =>
  readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && entry.name.endsWith('.ts'))
    .map(entry => relative(root, join(entry.parentPath, entry.name)))

/** Returns the files of the project that a file imports. */
function importsOf(file: string): string[] {
  const source = readFileSync(join(root, file), 'utf8')
  const specifiers = [...source.matchAll(/\bfrom '(\.[^']+)'|\bimport\('(\.[^']+)'\)/g)]
  return specifiers.map(([, first, second]) =>
    normalize(join(dirname(file), (first ?? second) as string)),
  )
}

const layerOf = (file: string): number => LAYERS.indexOf(file.split('/')[1] ?? '')

describe('lib/', () => {
  const sources = files('lib')

  it('consists of one folder per layer', () => {
    const folders = new Set(sources.map(file => file.split('/')[1]))
    expect([...folders].sort()).toEqual([...LAYERS].sort())
  })

  it('imports only from the same layer or a lower one', () => {
    const upward = sources.flatMap(file =>
      importsOf(file)
        .filter(target => layerOf(target) > layerOf(file))
        .map(target => `${file} imports ${target}`),
    )
    expect(upward).toEqual([])
  })

  it("uses Node's timers, ticks and clock as they were at load, so that fake ones do not stop it", () => {
    const globals =
      /(?<![.\w])(?:(?:set|clear)(?:Timeout|Interval|Immediate)|queueMicrotask|performance\.now)\(|(?<![\w.])process\.nextTick\b/g
    const isImported = (source: string, name: string) =>
      new RegExp(
        `^import \\{[^}]*\\b${name}\\b[^}]*\\} from '[./]*(?:util/)?timers\\.js'`,
        'm',
      ).test(source)
    const replaceable = sources
      .filter(file => file !== 'lib/util/timers.ts')
      .flatMap(file => {
        const source = readFileSync(join(root, file), 'utf8')
        const used = [...source.matchAll(globals)].map(([call]) => call.replace('(', ''))
        const unsafe = used.filter(name => !isImported(source, name))
        if (source.includes("from 'node:timers")) unsafe.push('node:timers')
        return unsafe.map(name => `${file} uses ${name}`)
      })
    expect(replaceable).toEqual([])
  })

  it('has no option that defaults to an object which inherits', () => {
    const inheriting = sources
      .filter(file => !file.startsWith('lib/cli/'))
      .filter(file => /[Oo]ptions?\b[^=\n]* = \{\}/.test(readFileSync(join(root, file), 'utf8')))
    expect(inheriting).toEqual([])
  })

  it('has compatibility modules that do not import one another', () => {
    const module = (file: string) => file.split('/')[2]
    const across = files('lib/compat').flatMap(file =>
      importsOf(file)
        .filter(target => target.startsWith('lib/compat/') && module(target) !== module(file))
        .map(target => `${file} imports ${target}`),
    )
    expect(across).toEqual([])
  })
})
