import { readdirSync, readFileSync } from 'node:fs'
import { ERROR_CODES } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { checkOptions, type Opener, PROTOCOLS } from '../lib/options.js'

const root = new URL('..', import.meta.url)
const read = (file: string): string => readFileSync(new URL(file, root), 'utf8')
const names = (folder: string, extension: string): string[] =>
  readdirSync(new URL(folder, root))
    .filter(file => file.endsWith(extension))
    .map(file => file.slice(0, -extension.length))
    .sort()

const protocols = Object.keys(PROTOCOLS).sort()
const packageJson = JSON.parse(read('package.json'))
const api = read('docs/api.md')

describe('the protocols', () => {
  it('are the same in Rust', () => {
    const source = read('crates/wire/src/protocol.rs')
    const known = [...source.matchAll(/Self::(\w+) => "(\w+)"/g)]
    expect(known.map(([, , name]) => name).sort()).toEqual(protocols)
    const all = /ALL: \[Self; (\d+)\] = \[([^\]]*)\]/.exec(source)
    expect(Number(all?.[1])).toBe(protocols.length)
    expect(all?.[2]?.match(/\w+(?=,|$)/g)?.sort()).toEqual(known.map(([, one]) => one).sort())
  })

  it('have a page each, and a row of the API page that is right', () => {
    expect(names('docs/protocols/', '.md')).toEqual(protocols)
    const rows = tableUnder('## Protocols')
    expect(
      rows.map(([name]) => /^\[`(\w+)`\]\(protocols\/\1\.md\)$/.exec(name ?? '')?.[1]),
    ).toEqual(Object.keys(PROTOCOLS))
    for (const [index, { types, encodings }] of Object.values(PROTOCOLS).entries()) {
      expect(quoted(rows[index]?.[1])).toEqual(types)
      expect(quoted(rows[index]?.[2])).toEqual(encodings)
    }
  })

  it('have vectors and a codec of the same name, all but raw, which has no framing', () => {
    const framed = protocols.filter(name => name !== 'raw')
    // A protocol may have more vectors, named after it: jsoncomm_host.
    const vectors = names('vectors/', '.json')
    expect(framed.filter(name => !vectors.includes(name))).toEqual([])
    const strange = vectors.filter(file => !framed.some(name => `${file}_`.startsWith(`${name}_`)))
    expect(strange).toEqual([])
    const modules = [...read('crates/wire/src/lib.rs').matchAll(/^pub mod (\w+);/gm)]
    expect(modules.map(([, name]) => name).filter(name => name !== 'json')).toEqual(framed)
  })

  it('give their names to the modules of the package', () => {
    const entries = Object.keys(packageJson.exports)
      .map(entry => entry.slice(2))
      .filter(entry => entry !== '' && entry !== 'package.json')
    expect(entries.filter(entry => !protocols.includes(entry))).toEqual([])
    for (const entry of entries) {
      expect(packageJson.exports[`./${entry}`].default).toBe(`./dist/lib/${entry}.js`)
      expect(api).toContain(`## fdwire/${entry}`)
    }
  })
})

describe('the error codes', () => {
  it('are those of the table in docs/errors.md, with their fault and meaning', () => {
    const rows = read('docs/errors.md').matchAll(/^\| `(ERR_\w+)` \| (\w+) \| (.*) \|$/gm)
    const documented = [...rows].map(([, code, fault, meaning]) => [code, { fault, meaning }])
    expect(documented).toEqual(Object.entries(ERROR_CODES))
  })

  it('are all that the documents speak of', () => {
    for (const page of ['README.md', 'SECURITY.md', 'docs/api.md', ...pagesOf('docs/protocols/')]) {
      const spoken = read(page).match(/ERR_FDWIRE_\w+/g) ?? []
      expect(spoken.filter(code => !(code in ERROR_CODES))).toEqual([])
    }
  })
})

describe('the options', () => {
  it('are all documented, with those who have them', () => {
    const openers: Opener[] = ['bind', 'connect', 'pair', 'adopt']
    const documented = new Map(tableUnder('## Options').map(([name, of]) => [code(name), of]))
    const expected = new Map<string, Opener[]>()
    for (const opener of openers) {
      for (const name of optionsOf(opener)) {
        expected.set(name, [...(expected.get(name) ?? []), opener])
      }
    }
    expect([...documented.keys()].sort()).toEqual([...expected.keys()].sort())
    for (const [name, of] of expected) {
      const words = of.length === openers.length ? 'all' : of.map(one => `\`${one}\``).join(', ')
      expect(documented.get(name), name).toBe(words)
    }
  })

  it('have the defaults that the documents say', () => {
    const { native, ...checked } = checkOptions('bind', { protocol: 'jsoncomm' })
    const raw = checkOptions('bind', { protocol: 'raw', type: 'dgram' })
    expect(raw.maxFds).toBe(0)
    const source = /number\('highWaterMark', ([\d_]+)/.exec(read('lib/options.ts'))?.[1]
    const actual: Record<string, unknown> = {
      ...native,
      ...checked,
      highWaterMark: Number(source?.replaceAll('_', '')),
    }
    const untold = ['protocol', 'type', 'encoding', 'localAddress', 'signal']
    for (const [name, , , stated] of tableUnder('## Options')) {
      if (!untold.includes(code(name))) {
        expect(meaningOf(stated as string), name).toBe(actual[code(name)])
      }
    }
  })
})

describe('the versions', () => {
  it('are one', () => {
    const cargo = /\[workspace\.package\]\nversion = "([^"]+)"/.exec(read('Cargo.toml'))?.[1]
    expect(packageJson.version).toBe(cargo)
    expect(JSON.parse(read('package-lock.json')).version).toBe(cargo)
    expect(read('CHANGELOG.md')).toContain(`\n## ${cargo} (`)
  })

  it('that are needed are the same everywhere', () => {
    const node = packageJson.engines.node.replace('>=', '')
    const rust = /rust-version = "([^"]+)"/.exec(read('Cargo.toml'))?.[1]
    for (const page of ['README.md', 'CONTRIBUTING.md']) {
      expect(read(page), page).toContain(`Node ${node} or newer`)
      expect(read(page), page).toContain(`${rust} or newer`)
    }
    expect(api).toContain(`Node ${node} and newer`)
  })
})

function pagesOf(folder: string): string[] {
  return names(folder, '.md').map(name => `${folder}${name}.md`)
}

/** The rows of the first table behind a heading of docs/api.md, without its head. */
function tableUnder(heading: string): string[][] {
  const section = api.slice(api.indexOf(`\n${heading}\n`))
  const table = /\n\|.*\n\| ?-.*\n((?:\|.*\n)+)/.exec(section)?.[1] ?? ''
  return table
    .trim()
    .split('\n')
    .map(row => row.split('|').slice(1, -1))
    .map(cells => cells.map(cell => cell.trim()))
}

function quoted(cell: string | undefined): string[] {
  return [...(cell ?? '').matchAll(/`'(\w+)'`/g)].map(([, word]) => word as string)
}

function code(cell: string | undefined): string {
  return cell?.replaceAll('`', '') ?? ''
}

/** The options of a function, by what it says to one that it doesn't have. */
function optionsOf(opener: Opener): string[] {
  try {
    checkOptions(opener, { protocol: 'jsoncomm', thisIsNone: true })
  } catch (error) {
    return / it has (.*)$/.exec((error as Error).message)?.[1]?.split(', ') ?? []
  }
  throw new Error(`${opener} took an option that does not exist`)
}

/** What a default in the documents means: `16 MiB`, `30,000`, `0o600`, `'stale'`, false. */
function meaningOf(stated: string): unknown {
  const [, number, unit] = /^(0o\d+|[\d,]+)(?: (KiB|MiB))?/.exec(stated) ?? []
  if (number !== undefined) {
    return Number(number.replaceAll(',', '')) * (unit === 'MiB' ? 1 << 20 : unit ? 1 << 10 : 1)
  }
  return stated === 'false' ? false : quoted(stated)[0]
}
