import { readdirSync, readFileSync } from 'node:fs'
import { ERROR_CODES } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { optionsOf } from '../../lib/options/applicability.js'
import { checkOptions } from '../../lib/options/check.js'
import { OPENERS, type OptionContext, type OptionSpec } from '../../lib/options/option.js'
import { PROTOCOL_NAMES, PROTOCOLS, type Protocol, rowOf } from '../../lib/options/protocols.js'
import { OPTIONS, type OptionName } from '../../lib/options/table.js'

const root = new URL('../..', import.meta.url)
const read = (file: string): string => readFileSync(new URL(file, root), 'utf8')
const names = (folder: string, extension: string): string[] =>
  readdirSync(new URL(folder, root))
    .filter(file => file.endsWith(extension))
    .map(file => file.slice(0, -extension.length))
    .sort()

const protocols: string[] = [...PROTOCOL_NAMES].sort()
const packageJson = JSON.parse(read('package.json'))
const api = read('docs/api.md')

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

  it('have one row each in docs/api.md, with the facts of the code', () => {
    const rows = tableUnder('## Protocols')
    expect(
      rows.map(([name]) => /^\[`(\w+)`\]\(protocols\/\1\.md\)$/.exec(name ?? '')?.[1]),
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
      expect(api).toContain(`## fdwire/${entry}`)
    }
  })
})

describe('an entry of the package that is no compatibility module', () => {
  it('has a folder in lib/ and a page in docs/ of its name, to which docs/api.md links', () => {
    const others = entries.filter(entry => !exportOf(entry).startsWith('./dist/lib/compat/'))
    expect(others.length).toBeGreaterThan(0)
    for (const entry of others) {
      expect(exportOf(entry)).toBe(`./dist/lib/${entry}/index.js`)
      expect(read(`docs/${entry}.md`)).toContain(`fdwire/${entry}`)
      expect(api).toContain(`(${entry}.md)`)
    }
  })
})

describe('ERROR_CODES', () => {
  it('matches the table in docs/errors.md, with fault and meaning', () => {
    const rows = read('docs/errors.md').matchAll(/^\| `(ERR_\w+)` \| (\w+) \| (.*) \|$/gm)
    const documented = [...rows].map(([, code, fault, meaning]) => [code, { fault, meaning }])
    expect(documented).toEqual(Object.entries(ERROR_CODES))
  })

  it('contains every code that the documents mention', () => {
    for (const page of ['README.md', 'SECURITY.md', 'docs/api.md', ...pagesOf('docs/protocols/')]) {
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
  const rows = tableUnder('## Options')
  const documented = rows.map(([name]) => code(name))
  const declarations = names('lib/options/', '.ts')
    .map(name => read(`lib/options/${name}.ts`))
    .join('\n')

  it('is documented in order, with the functions and protocols that have each option', () => {
    expect(documented).toEqual(Object.keys(OPTIONS))
    for (const [name, of, only] of rows) {
      expect([of, only], name).toEqual([functionsOf(code(name)), conditionOf(code(name))])
    }
  })

  it('contains only options that apply to some function and are declared in the types', () => {
    for (const name of documented) {
      expect(allContexts().some(context => optionsOf(context).some(one => one === name))).toBe(true)
      expect(declarations).toMatch(new RegExp(`^  ${name}\\??: [^{]`, 'm'))
    }
  })

  it('has the documented defaults', () => {
    const actual: Record<string, unknown> = {
      ...checkOptions('bind', { protocol: 'jsoncomm' }),
      allowEmpty: checkOptions('Codec', { protocol: 'stockings' }).empty === 'sent',
    }
    const exempt = ['protocol', 'type', 'encoding']
    for (const [name, , , , stated = ''] of rows) {
      if (!exempt.includes(code(name))) {
        expect(parseDefault(stated), name).toBe(actual[code(name)])
      }
    }
    const records = { protocol: 'jsoncomm', type: 'seqpacket' }
    expect(checkOptions('pair', records).memfd).toBe(true)
    const maxFds = rows.find(([name]) => code(name) === 'maxFds')?.[4]
    const some = PROTOCOL_NAMES.filter(name => rowOf(name).maxFds > 0)
    expect(maxFds).toBe(`${some.map(name => `${rowOf(name).maxFds} for \`${name}\``)}, else 0`)
  })

  it('has the documented defaults in the comments of its types', () => {
    // Its default differs by function, and the comments of the functions state it.
    const exempt = ['timeout']
    for (const [name, , , unit = '', stated = ''] of rows) {
      const value = /^(?:\d[\w,]*(?: [KM]iB)?|true|false|'\w+')/.exec(stated)?.[0]
      if (value === undefined || exempt.includes(code(name))) continue
      const pattern = new RegExp(`/\\*\\*((?:(?!\\*/)[^])*)\\*/\n  ${code(name)}\\?: `)
      const comment = pattern.exec(declarations)
      expect(comment?.[1], name).toContain(value)
      if (unit === 'ms') expect(comment?.[1], name).toContain('(ms, ')
    }
  })
})

describe('a version', () => {
  it('of the package is the same in package.json, Cargo.toml, CHANGELOG.md and lib/', () => {
    const cargo = /\[workspace\.package\]\nversion = "([^"]+)"/.exec(read('Cargo.toml'))?.[1]
    expect(packageJson.version).toBe(cargo)
    expect(JSON.parse(read('package-lock.json')).version).toBe(cargo)
    expect(read('CHANGELOG.md')).toContain(`\n## ${cargo} (`)
    expect(read('lib/native/version.ts')).toContain(`VERSION = '${cargo}'`)
  })

  it('of Node or Rust that is required is the same in every document', () => {
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

/** Returns the rows of the first table after a heading of docs/api.md, without its head. */
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

/** Returns the functions that have an option, in the wording of the documents. */
function functionsOf(name: string): string {
  const { of } = OPTIONS[name as OptionName]
  const others = OPENERS.filter(opener => !of.some(one => one === opener))
  if (others.length === 0) return 'all'
  const named = others.length < 3 ? others : of
  return `${others.length < 3 ? 'all but ' : ''}${named.map(one => `\`${one}\``).join(', ')}`
}

/** Returns the condition under which an option applies, in the wording of the documents. */
function conditionOf(name: string): string {
  const rule = OPTIONS[name as OptionName]
  if ('protocols' in rule) return rule.protocols.map(one => `\`${one}\``).join(', ')
  if ('on' in rule) return rule.on.some(one => one === 'unix') ? 'Unix' : 'TCP'
  return 'types' in rule ? rule.types.map(type => `\`'${type}'\``).join(', ') : ''
}

/**
 * Parses a documented default: `16 MiB`, `30,000`, `0o600`, `'stale'`, `'\n'`, false; undefined if none.
 */
function parseDefault(stated: string): unknown {
  const [, number, unit] = /^(0o\d+|[\d,]+)(?: (KiB|MiB))?/.exec(stated) ?? []
  if (number !== undefined) {
    return Number(number.replaceAll(',', '')) * (unit === 'MiB' ? 1 << 20 : unit ? 1 << 10 : 1)
  }
  const [, escaped] = /^`'(\\\w)'`/.exec(stated) ?? []
  if (escaped !== undefined) return JSON.parse(`"${escaped}"`)
  const [boolean] = /^(?:true|false)\b/.exec(stated) ?? []
  return boolean === undefined ? quoted(stated)[0] : boolean === 'true'
}
