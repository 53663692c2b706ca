import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { ERROR_CODES } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { optionsOf } from '../../lib/options/applicability.js'
import { checkOptions } from '../../lib/options/check.js'
import { OPENERS, type OptionContext, type OptionSpec } from '../../lib/options/option.js'
import { PROTOCOL_NAMES, PROTOCOLS, type Protocol, rowOf } from '../../lib/options/protocols.js'
import { OPTIONS } from '../../lib/options/table.js'
import { testPath } from '../support/processes.js'

const root = new URL('../..', import.meta.url)
const read = (file: string): string => readFileSync(new URL(file, root), 'utf8')
const names = (folder: string, extension: string): string[] =>
  readdirSync(new URL(folder, root))
    .filter(file => file.endsWith(extension))
    .map(file => file.slice(0, -extension.length))
    .sort()

const protocols: string[] = [...PROTOCOL_NAMES].sort()
const packageJson = JSON.parse(read('package.json'))
const reference = read('docs/api/README.md')

const documents = [
  'README.md',
  'SECURITY.md',
  ...readdirSync(new URL('docs/', root), { recursive: true })
    .map(file => `docs/${file}`)
    .filter(file => file.endsWith('.md')),
]

/** The entries of the package besides the main one. */
const entries = Object.keys(packageJson.exports)
  .map(entry => entry.slice(2))
  .filter(entry => entry !== '' && entry !== 'package.json')
const exportOf = (entry: string): string => packageJson.exports[`./${entry}`].default

describe('the protocols', () => {
  it('are the same in TypeScript and Rust', () => {
    const source = read('crates/wire/src/protocol.rs')
    const known = [...source.matchAll(/Self::(\w+) => "(\w+)"/g)]
    expect(known.map(([, , name]) => name).sort()).toEqual(protocols)
    const all = /ALL: \[Self; (\d+)\] = \[([^\]]*)\]/.exec(source)
    expect(Number(all?.[1])).toBe(protocols.length)
    expect(all?.[2]?.match(/\w+(?=,|$)/g)?.sort()).toEqual(known.map(([, one]) => one).sort())
  })

  it('have one page each in docs/protocols', () => {
    expect(names('docs/protocols/', '.md')).toEqual(protocols)
  })

  it('have one row each in docs/api/protocols.md, with the facts of the code', () => {
    const rows = tableUnder('docs/api/protocols.md', '## Protocols')
    expect(
      rows.map(([name]) => /^\[`(\w+)`\]\(\.\.\/protocols\/\1\.md\)$/.exec(name ?? '')?.[1]),
    ).toEqual(Object.keys(PROTOCOLS))
    for (const [index, name] of PROTOCOL_NAMES.entries()) {
      const { types, encodings, empty } = rowOf(name)
      const [, type, encoding, own, , emptyOne] = rows[index] ?? []
      expect(quoted(type)).toEqual(types)
      expect(quoted(encoding)).toEqual(encodings)
      expect(own?.match(/\w+/g) ?? []).toEqual(optionsOnlyOf(name))
      expect(emptyOne).toBe(empty)
    }
  })

  it('have one codec module each in crates/wire', () => {
    const modules = [...read('crates/wire/src/lib.rs').matchAll(/^pub mod (\w+);/gm)]
    // The other modules are shared by the codecs.
    const codecs = modules
      .map(([, name]) => name)
      .filter(name => !['codec', 'json', 'utf16'].includes(name as string))
    expect(codecs.sort()).toEqual(protocols)
  })

  it('have vectors of the same name, except raw, which has no framing', () => {
    const framed = protocols.filter(name => name !== 'raw')
    // A protocol may have further vectors, named with its name as prefix: jsoncomm_host.
    const vectors = names('vectors/', '.json')
    expect(framed.filter(name => !vectors.includes(name))).toEqual([])
    const unknown = vectors.filter(file => !framed.some(name => `${file}_`.startsWith(`${name}_`)))
    expect(unknown).toEqual([])
  })

  it('have one folder each in the fuzz corpus if they frame streams', () => {
    const streams = protocols.filter(
      name => name !== 'raw' && rowOf(name as Protocol).types.some(type => type === 'stream'),
    )
    expect(readdirSync(new URL('fuzz/corpus/', root))).toEqual(expect.arrayContaining(streams))
  })

  it('include the name of every compatibility module of the package', () => {
    const modules = entries.filter(entry => exportOf(entry).startsWith('./dist/lib/compat/'))
    expect(modules.filter(entry => !protocols.includes(entry))).toEqual([])
    for (const entry of modules) {
      expect(exportOf(entry)).toBe(`./dist/lib/compat/${entry}/index.js`)
      expect(read(`docs/api/${entry}.md`)).toMatch(`# fdwire/${entry}\n`)
    }
  })
})

describe('an entry of the package that is no compatibility module', () => {
  it('has a folder in lib/ and a page in docs/ of its name, to which the API reference links', () => {
    const others = entries.filter(entry => !exportOf(entry).startsWith('./dist/lib/compat/'))
    expect(others.length).toBeGreaterThan(0)
    for (const entry of others) {
      expect(exportOf(entry)).toBe(`./dist/lib/${entry}/index.js`)
      expect(read(`docs/${entry}.md`)).toContain(`fdwire/${entry}`)
      expect(reference).toContain(`(../${entry}.md)`)
    }
  })
})

describe('ERROR_CODES', () => {
  it('matches the table in docs/errors.md, with fault and meaning', () => {
    const row = /^\| \[`(ERR_\w+)`\]\(#(\w+)\) \| (\w+) \| (.*) \|$/gm
    const rows = [...read('docs/errors.md').matchAll(row)]
    expect(rows.filter(([, code, anchor]) => anchor !== code?.toLowerCase())).toEqual([])
    const documented = rows.map(([, code, , fault, meaning]) => [code, { fault, meaning }])
    expect(documented).toEqual(Object.entries(ERROR_CODES))
  })

  it('contains every code that the documents mention', () => {
    for (const page of documents) {
      const mentioned = read(page).match(/ERR_FDWIRE_\w+/g) ?? []
      expect(mentioned.filter(code => !(code in ERROR_CODES))).toEqual([])
    }
  })
})

describe('the addon', () => {
  it('is exported by lib/native/addon.ts as native.d.ts declares it', () => {
    const declared = read('native.d.ts').matchAll(
      /^export declare (?:class|const|enum|function) (\w+)/gm,
    )
    const list = /export const \{([^}]*)\}/.exec(read('lib/native/addon.ts'))?.[1] ?? ''
    const exported = list.match(/\w+/g) ?? []
    // The loader has compared the version already.
    const expected = [...declared].map(([, name]) => name).filter(name => name !== 'VERSION')
    expect(exported.sort()).toEqual(expected.sort())
  })
})

describe('OPTIONS', () => {
  const declarations = names('lib/options/', '.ts')
    .map(name => read(`lib/options/${name}.ts`))
    .join('\n')

  it.each(Object.keys(OPTIONS))(
    'contains %s, which applies to some function and is declared in the types',
    name => {
      expect(allContexts().some(context => optionsOf(context).some(one => one === name))).toBe(true)
      expect(declarations).toMatch(new RegExp(`^  ${name}\\??: [^{]`, 'm'))
    },
  )

  it('has the same defaults in docs/api/options.md and in the checked options', () => {
    const actual: Record<string, unknown> = {
      ...checkOptions('bind', { protocol: 'jsoncomm' }),
      allowEmpty: checkOptions('Codec', { protocol: 'stockings' }).empty === 'sent',
    }
    const rows = [...read('docs/api/options.md').matchAll(/^\| `(\w+)` \|.*$/gm)]
    expect(rows.map(([, name]) => name).sort()).toEqual(Object.keys(OPTIONS).sort())
    const exempt = ['protocol', 'type', 'encoding', 'memfd', 'maxFds']
    for (const [row, name = ''] of rows) {
      if (exempt.includes(name)) continue
      expect(parseDefault(cellsOf(row)[2] ?? ''), name).toBe(actual[name])
    }
    expect(checkOptions('pair', { protocol: 'jsoncomm', type: 'seqpacket' }).memfd).toBe(true)
    expect(actual).toMatchObject({ memfd: false, maxFds: 253 })
    expect(checkOptions('pair', { protocol: 'raw' }).maxFds).toBe(0)
  })

  it('has the units of its doc comments: ms for every time limit, bytes for every size', () => {
    const rows = [...read('docs/api/options.md').matchAll(/^\| `(\w+)` \|.*$/gm)]
    const units = Object.fromEntries(
      rows.map(([row, name]) => [
        name,
        /(?<=`, )(?:ms|bytes|µs)\b/.exec(cellsOf(row)[1] ?? '')?.[0],
      ]),
    )
    const withUnit = (unit: string) => Object.keys(units).filter(name => units[name] === unit)
    expect(withUnit('ms')).toEqual(Object.keys(units).filter(name => /timeout$/i.test(name)))
    expect(withUnit('bytes')).toEqual(
      expect.arrayContaining(
        Object.keys(units).filter(
          name => /Size$|Mark$|Message$|Queued(Total)?$/.test(name) && !/^on/.test(name),
        ),
      ),
    )
  })
})

describe('the API reference', () => {
  it('is generated from the declarations, which it describes completely', () => {
    const script = testPath('../scripts/api-docs.mjs')
    const { status, stderr } = spawnSync(process.execPath, [script, '--check'], {
      encoding: 'utf8',
    })
    expect(stderr).toBe('')
    expect(status).toBe(0)
  })
})

describe('a version', () => {
  it('of the package is the same in package.json, Cargo.toml, CHANGELOG.md and lib/', () => {
    const cargo = /\[workspace\.package\]\nversion = "([^"]+)"/.exec(read('Cargo.toml'))?.[1]
    expect(packageJson.version).toBe(cargo)
    expect(JSON.parse(read('package-lock.json')).version).toBe(cargo)
    // The version that is not released yet, or the latest one.
    const latest = new RegExp(`^## \\[(?:Unreleased\\]\n\nVersion ${cargo}[, .]|${cargo}\\] - \\d)`)
    expect(read('CHANGELOG.md').slice(read('CHANGELOG.md').indexOf('## '))).toMatch(latest)
    expect(read('lib/native/version.ts')).toContain(`VERSION = '${cargo}'`)
  })

  it('of Node or Rust that is required is the same in every document', () => {
    const node = packageJson.engines.node.replace('>=', '')
    const rust = /rust-version = "([^"]+)"/.exec(read('Cargo.toml'))?.[1]
    for (const page of ['README.md', 'CONTRIBUTING.md']) {
      expect(read(page), page).toContain(`Node ${node} or newer`)
      expect(read(page), page).toContain(`${rust} or newer`)
    }
    expect(read('docs/api/runtime.md')).toContain(`Node ${node} and newer`)
  })
})

/** Returns the rows of the first table after a heading of a page, without its head. */
function tableUnder(page: string, heading: string): string[][] {
  const text = read(page)
  const section = text.slice(text.indexOf(`\n${heading}\n`))
  const table = /\n\|.*\n\| ?-.*\n((?:\|.*\n)+)/.exec(section)?.[1] ?? ''
  return table.trim().split('\n').map(cellsOf)
}

/** Returns the cells of a row, in which `\\|` is no border. */
function cellsOf(row: string): string[] {
  const cells = row.split(/(?<!\\)\|/).slice(1, -1)
  return cells.map(cell => cell.trim())
}

function quoted(cell: string | undefined): string[] {
  return [...(cell ?? '').matchAll(/`'(\w+)'`/g)].map(([, word]) => word as string)
}

/** Returns the options that only some protocols have, this one among them. */
function optionsOnlyOf(protocol: Protocol): string[] {
  const specs = Object.entries(OPTIONS) as [string, OptionSpec][]
  return specs.filter(([, { protocols }]) => protocols?.includes(protocol)).map(([name]) => name)
}

/** Returns every combination of function, protocol, type and target, valid or not. */
function allContexts(): OptionContext[] {
  const targets = ['unix', 'tcp', 'fd'] as const
  return OPENERS.flatMap(opener =>
    PROTOCOL_NAMES.flatMap(protocol =>
      PROTOCOLS[protocol].types.flatMap(type =>
        targets.map(target => ({ opener, protocol, type, target })),
      ),
    ),
  )
}

/**
 * Parses a documented default: 16 MiB, 30,000, 0o600, `'stale'`, `'\n'`, `false`; undefined if none.
 */
function parseDefault(stated: string): unknown {
  const [, number, unit] = /^(0o\d+|[\d,]+)(?: (KiB|MiB))?/.exec(stated) ?? []
  if (number !== undefined) {
    return Number(number.replaceAll(',', '')) * (unit === 'MiB' ? 1 << 20 : unit ? 1 << 10 : 1)
  }
  const [, escaped] = /^`'(\\\w)'`/.exec(stated) ?? []
  if (escaped !== undefined) return JSON.parse(`"${escaped}"`)
  const [, boolean] = /^`(true|false)`/.exec(stated) ?? []
  return boolean === undefined ? quoted(stated)[0] : boolean === 'true'
}
