import { readdirSync, readFileSync } from 'node:fs'
import { ERROR_CODES } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { checkOptions } from '../../lib/options/check.js'
import { PROTOCOL_NAMES, PROTOCOLS, type Protocol, rowOf } from '../../lib/options/protocols.js'
import {
  OPENERS,
  OPTIONS,
  type OptionName,
  optionsOf,
  type Wanted,
} from '../../lib/options/rules.js'

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

describe('the protocols', () => {
  it('are the same in Rust', () => {
    const source = read('crates/wire/src/protocol.rs')
    const known = [...source.matchAll(/Self::(\w+) => "(\w+)"/g)]
    expect(known.map(([, , name]) => name).sort()).toEqual(protocols)
    const all = /ALL: \[Self; (\d+)\] = \[([^\]]*)\]/.exec(source)
    expect(Number(all?.[1])).toBe(protocols.length)
    expect(all?.[2]?.match(/\w+(?=,|$)/g)?.sort()).toEqual(known.map(([, one]) => one).sort())
  })

  it('have a page each', () => {
    expect(names('docs/protocols/', '.md')).toEqual(protocols)
  })

  it('have a row of the API page that is right', () => {
    const rows = tableUnder('## Protocols')
    expect(
      rows.map(([name]) => /^\[`(\w+)`\]\(protocols\/\1\.md\)$/.exec(name ?? '')?.[1]),
    ).toEqual(Object.keys(PROTOCOLS))
    for (const [index, name] of PROTOCOL_NAMES.entries()) {
      const { types, encodings, options, empty } = rowOf(name)
      const [, type, encoding, own, , emptyOne] = rows[index] ?? []
      expect(quoted(type)).toEqual(types)
      expect(quoted(encoding)).toEqual(encodings)
      expect(own?.match(/\w+/g) ?? []).toEqual(options)
      expect(emptyOne).toBe(empty)
    }
  })

  it('have a codec of the same name', () => {
    const modules = [...read('crates/wire/src/lib.rs').matchAll(/^pub mod (\w+);/gm)]
    // Besides what all of them are made of.
    const codecs = modules
      .map(([, name]) => name)
      .filter(name => name !== 'codec' && name !== 'json')
    expect(codecs.sort()).toEqual(protocols)
  })

  it('have vectors of the same name, all but raw, which has no framing', () => {
    const framed = protocols.filter(name => name !== 'raw')
    // A protocol may have more vectors, named after it: jsoncomm_host.
    const vectors = names('vectors/', '.json')
    expect(framed.filter(name => !vectors.includes(name))).toEqual([])
    const strange = vectors.filter(file => !framed.some(name => `${file}_`.startsWith(`${name}_`)))
    expect(strange).toEqual([])
  })

  it('have streams in the corpus of the laws, where they frame streams', () => {
    const streams = protocols.filter(
      name => name !== 'raw' && rowOf(name as Protocol).types.some(type => type === 'stream'),
    )
    expect(readdirSync(new URL('fuzz/corpus/', root)).sort()).toEqual(streams)
  })

  it('give their names to the modules of the package', () => {
    const entries = Object.keys(packageJson.exports)
      .map(entry => entry.slice(2))
      .filter(entry => entry !== '' && entry !== 'package.json')
    expect(entries.filter(entry => !protocols.includes(entry))).toEqual([])
    for (const entry of entries) {
      expect(packageJson.exports[`./${entry}`].default).toBe(`./dist/lib/compat/${entry}/index.js`)
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
  const rows = tableUnder('## Options')
  const documented = rows.map(([name]) => code(name))

  it('are all documented, in their order, with those who have them', () => {
    expect(documented).toEqual(Object.keys(OPTIONS))
    for (const [name, of, only] of rows) {
      expect([of, only], name).toEqual([functionsOf(code(name)), conditionOf(code(name))])
    }
  })

  it('are all to be had by somebody, and declared', () => {
    const types = read('lib/options/types.ts')
    for (const name of documented) {
      expect(everyWish().some(wish => optionsOf(wish).some(one => one === name))).toBe(true)
      expect(types).toMatch(new RegExp(`^  ${name}\\??: `, 'm'))
    }
  })

  it('have the defaults that the documents say', () => {
    const { native, empty, ...checked } = checkOptions('bind', { protocol: 'jsoncomm' })
    const actual: Record<string, unknown> = {
      ...native,
      ...checked,
      allowEmpty: checkOptions('Codec', { protocol: 'stockings' }).empty === 'sent',
    }
    const untold = ['protocol', 'type', 'encoding']
    for (const [name, , , , stated = ''] of rows) {
      if (!untold.includes(code(name))) {
        expect(meaningOf(stated), name).toBe(actual[code(name)])
      }
    }
    const records = { protocol: 'jsoncomm', type: 'seqpacket' }
    expect(checkOptions('pair', records).native.memfd).toBe(true)
    const maxFds = rows.find(([name]) => code(name) === 'maxFds')?.[4]
    const some = PROTOCOL_NAMES.filter(name => rowOf(name).maxFds > 0)
    expect(maxFds).toBe(`${some.map(name => `${rowOf(name).maxFds} for \`${name}\``)}, else 0`)
  })

  it('have the same defaults in the comments of their types', () => {
    const source = read('lib/options/types.ts')
    // It has a meaning of its own for each function, and their comments say so.
    const untold = ['timeout']
    for (const [name, , , unit = '', stated = ''] of rows) {
      const value = /^(?:\d[\w,]*(?: [KM]iB)?|true|false|'\w+')/.exec(stated)?.[0]
      if (value === undefined || untold.includes(code(name))) continue
      const comment = new RegExp(`/\\*\\*((?:(?!\\*/)[^])*)\\*/\n  ${code(name)}\\?: `).exec(source)
      expect(comment?.[1], name).toContain(value)
      if (unit === 'ms') expect(comment?.[1], name).toContain('(ms, ')
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

/** Everything that can be asked for, possible or not. */
function everyWish(): Wanted[] {
  const targets = ['unix', 'tcp', 'fd'] as const
  return OPENERS.flatMap(opener =>
    PROTOCOL_NAMES.flatMap(protocol =>
      PROTOCOLS[protocol].types.flatMap(type =>
        targets.map(target => ({ opener, protocol, type, target })),
      ),
    ),
  )
}

/** The functions that have an option, as the documents say it. */
function functionsOf(name: string): string {
  const { of } = OPTIONS[name as OptionName]
  const others = OPENERS.filter(opener => !of.some(one => one === opener))
  if (others.length === 0) return 'all'
  const named = others.length < 3 ? others : of
  return `${others.length < 3 ? 'all but ' : ''}${named.map(one => `\`${one}\``).join(', ')}`
}

/** What else is needed to have an option, as the documents say it. */
function conditionOf(name: string): string {
  const rule = OPTIONS[name as OptionName]
  if ('own' in rule) {
    const owners = PROTOCOL_NAMES.filter(one => rowOf(one).options.some(own => own === name))
    return owners.map(one => `\`${one}\``).join(', ')
  }
  if ('on' in rule) return rule.on.some(one => one === 'unix') ? 'Unix' : 'TCP'
  return 'types' in rule ? rule.types.map(type => `\`'${type}'\``).join(', ') : ''
}

/** What a default in the documents means: `16 MiB`, `30,000`, `0o600`, `'stale'`, false, none. */
function meaningOf(stated: string): unknown {
  const [, number, unit] = /^(0o\d+|[\d,]+)(?: (KiB|MiB))?/.exec(stated) ?? []
  if (number !== undefined) {
    return Number(number.replaceAll(',', '')) * (unit === 'MiB' ? 1 << 20 : unit ? 1 << 10 : 1)
  }
  const [truth] = /^(?:true|false)\b/.exec(stated) ?? []
  return truth === undefined ? quoted(stated)[0] : truth === 'true'
}
