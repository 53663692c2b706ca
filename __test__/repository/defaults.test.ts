/** The numbers in the reference that do not come from lib/options: defaults and limits. */
import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { checkServe } from '../../lib/channel/serve/options.js'
import { checkProtocolOptions } from '../../lib/compat/socket_protocol/options.js'
import { checkServerOptions } from '../../lib/compat/uds_comms/options.js'
import { OPTIONS } from '../../lib/options/table.js'

const root = new URL('../..', import.meta.url)
const read = (file: string): string => readFileSync(new URL(file, root), 'utf8')

/** Options whose default is Node's, since fdwire passes them on only if they are set. */
const OF_NODE = ['SocketOptions.allowHalfOpen', 'SocketOptions.readable', 'SocketOptions.writable']

/** The modules that read the options of each interface. */
const MODULES: Readonly<Record<string, string>> = {
  WaitOptions: 'lib/options/calls.ts',
  MemfdOptions: 'lib/fds/memfd.ts',
  ServerOptions: 'lib/fds/to-node.ts',
  ReadStreamOptions: 'lib/fds/to-node-streams.ts',
  WriteStreamOptions: 'lib/fds/to-node-streams.ts',
  'dispatch/DispatcherOptions': 'lib/dispatch/dispatcher.ts',
  'systemd/NotifyOptions': 'lib/systemd/notify.ts',
  'systemd/BarrierOptions': 'lib/systemd/notify.ts',
  'systemd/ListenFdsOptions': 'lib/systemd/listen-fds.ts',
  'systemd/JournalOptions': 'lib/systemd/journal.ts',
  'jsoncomm/FromFdOptions': 'lib/compat/jsoncomm/socket.ts',
  'jsoncomm/StartOptions': 'lib/compat/jsoncomm/service-process.ts',
  'jsoncomm/CallWithFdsOptions': 'lib/options/calls.ts',
  'jsoncomm/ServiceOptions': 'lib/compat/jsoncomm/service.ts',
  'msg_channel/ListeningOptions': 'lib/compat/msg_channel/channel.ts',
  'socket_protocol/SendOptions': 'lib/compat/socket_protocol/protocol.ts',
  'socket_protocol/SocketClientOptions': 'lib/compat/socket_protocol/socket-client.ts',
  'socket_protocol/ChannelTransportOptions': 'lib/compat/socket_protocol/channel-transport.ts',
  'stockings/StockingOptions': 'lib/compat/stockings/stocking.ts',
}

/** The defaults of the interfaces whose check returns them. */
const CHECKED: Readonly<Record<string, object>> = {
  ServeOptions: checkServe(() => {}, {}),
  Reconnect: reconnectDefaults(),
  'uds_comms/UdsOverOptions': checkServerOptions({}),
  'socket_protocol/ProtocolOptions': checkProtocolOptions({}),
}

function reconnectDefaults() {
  const { keepsQueue, ...delays } = OPTIONS.reconnect.check('reconnect', {})
  return { ...delays, queue: keepsQueue ? 'keep' : 'refuse' }
}

/** Matches a literal, or the name of a constant. */
const VALUE = String.raw`'[^']*'|\d[\d_]*|true|false|\[\]|[A-Z][A-Z_]+`

/** Returns the default that a module has for an option: in its check, or as an initializer. */
function inSource(file: string, name: string): unknown {
  const source = read(file)
  const patterns = [
    String.raw`checkInteger\('${name}', [\w.]+, ([\w.]+)`,
    String.raw`checkBoolean\('${name}', [\w.]+, (\w+)\)`,
    // Without a fallback it is false.
    String.raw`checkBoolean\('${name}', [\w.]+(\))`,
    String.raw`checkTimeout\(options\.${name}, (${VALUE})\)`,
    String.raw`[{ ,(]${name}(?:: \w+)? = (${VALUE})`,
    String.raw`options\.${name} (?:\?\?|!==) \(?(?:SEEKABLE.has\(kind\) \? )?(${VALUE})`,
    String.raw`check\w+\([^)]*options\.${name} \?\? (${VALUE})`,
    String.raw`if \(${name} === undefined\) return (${VALUE})`,
    // The limits of calls.
    name === 'timeout' ? String.raw`fallback = (\d+)` : '$^',
  ]
  const texts = patterns.map(pattern => new RegExp(pattern).exec(source)?.[1])
  const text = texts.find(one => one !== undefined)
  if (text === undefined) throw new Error(`${file} has no default of ${name}`)
  if (/^[A-Z_]+$/.test(text)) return constant(source, text)
  // `trust !== true` is how a boolean option that is off by default is read.
  if (text === ')' || (text === 'true' && source.includes(`options.${name} !== true`))) return false
  return literal(text)
}

/** Returns the value of a constant of a module, or of one that it imports. */
function constant(source: string, name: string): unknown {
  const own = new RegExp(`const ${name} = (.*)`).exec(source)?.[1]
  const value = own ?? new RegExp(`const ${name} = (.*)`).exec(read('lib/systemd/socket.ts'))?.[1]
  return literal(value ?? '')
}

function literal(text: string): unknown {
  if (/^[\d_ *]+$/.test(text)) {
    const factors = text.split(' * ').map(factor => Number(factor.replaceAll('_', '')))
    return factors.reduce((product, factor) => product * factor, 1)
  }
  if (text === 'true' || text === 'false') return text === 'true'
  return text.startsWith("'") ? text.slice(1, -1) : text
}

/** Parses a default of a table: 16 MiB, 30,000, `'stale'`, `false`; undefined if it is prose. */
function parse(cell: string): unknown {
  const [, number, unit] = /^([\d,]+)(?: ([KM])iB)?$/.exec(cell) ?? []
  if (number !== undefined) {
    return Number(number.replaceAll(',', '')) * ({ K: 1 << 10, M: 1 << 20 }[unit ?? ''] ?? 1)
  }
  const [, text] = /^`('[^']*'|true|false|\[\])`$/.exec(cell) ?? []
  return text === undefined ? undefined : literal(text)
}

/** Every literal default in the generated tables: interface, option, value. */
const stated = readdirSync(new URL('docs/', root), { recursive: true })
  .map(file => `docs/${file}`)
  .filter(file => file.endsWith('.md'))
  .flatMap(file => [
    ...read(file).matchAll(/<!-- api:options ([^>]*?) -->\n([\s\S]*?)<!-- api:end -->/g),
  ])
  .flatMap(([, names = '', block = '']) => {
    const rows = block.split('\n').filter(line => line.startsWith('|'))
    const cells = rows.map(row => row.split(/(?<!\\)\|/).map(cell => cell.trim()))
    const column = cells[0]?.indexOf('Default') ?? -1
    const options = cells.slice(2).map(row => [row[1]?.slice(1, -1), parse(row[column] ?? '')])
    const some = options.filter(([, value]) => value !== undefined)
    return some.map(([option, value]) => [names.split(' ').at(-1), option, value])
  })
  .filter(([type, option]) => !OF_NODE.includes(`${type}.${option}`)) as [
  type: string,
  option: string,
  value: unknown,
][]

it('finds the defaults in the tables', () => {
  expect(stated.length).toBeGreaterThan(40)
})

describe.each(stated)('%s.%s', (type, option, value) => {
  it(`has the default ${value}, as stated`, () => {
    const checked = CHECKED[type] as Record<string, unknown> | undefined
    const module = MODULES[type]
    if (checked === undefined && module === undefined) throw new Error(`Where is ${type} read?`)
    expect(checked === undefined ? inSource(module as string, option) : checked[option]).toBe(value)
  })
})

/** Limits in the text of a page: the text, with the constant that it states. */
const LIMITS: readonly (readonly [page: string, text: string, file: string, name: string])[] = [
  ['api/listener', '10 ms to', 'lib/open/accept-pause.ts', 'FIRST'],
  ['api/listener', 'to 1 s', 'lib/open/accept-pause.ts', 'LONGEST'],
  ['api/descriptors', 'up to 16 threads', 'crates/socket/src/closing/queue.rs', 'THREADS'],
  ['api/descriptors', 'at most two', 'crates/socket/src/closing/queue.rs', 'THREADS_OF_DEVICE'],
  ['api/descriptors', 'At 1,024, channels', 'crates/channel/src/limits.rs', 'PENDING_MAX'],
  ['api/memory-files', 'less than 64 KiB', 'crates/node/src/memfd.rs', 'MAPPED'],
  ['api/memory-files', '4,096 Buffers', 'crates/node/src/memfd.rs', 'MAPPINGS'],
  ['api/runtime', 'shared ArrayBuffer of 64 KiB', 'lib/wire/payloads.ts', 'CHUNK'],
  ['dispatch', 'at most 16 KiB', 'lib/dispatch/peeks.ts', 'MAX_HEAD'],
  ['systemd', 'more than 4,096 bytes', 'lib/systemd/notify.ts', 'MAX_NOTIFICATION'],
  ['serve', 'four replies for each', 'lib/channel/serve/requests.ts', 'UNSENT_PER_HANDLER'],
]

/** Returns the number of a text: 64 KiB, 1 s, two. */
function numberIn(text: string): number {
  const words: Readonly<Record<string, number>> = { two: 2, four: 4 }
  const word = Object.keys(words).find(one => text.split(' ').includes(one))
  if (word !== undefined) return words[word] as number
  const [, number = '', unit = ''] = /([\d,]+)(?: (KiB|s)\b)?/.exec(text) ?? []
  return Number(number.replaceAll(',', '')) * ({ KiB: 1_024, s: 1_000 }[unit] ?? 1)
}

describe.each(LIMITS)('docs/%s.md', (page, text, file, name) => {
  it(`says '${text}', as ${name} of ${file}`, () => {
    const value = new RegExp(`const ${name}(?:: \\w+)? = ([\\d_ *]+)`).exec(read(file))?.[1]
    expect(read(`docs/${page}.md`).replace(/\s+/g, ' ')).toContain(text)
    expect(numberIn(text)).toBe(literal(value?.trim() ?? ''))
  })
})

describe('docs/diagnostics.md', () => {
  it('lists every warning', () => {
    const modules = readdirSync(new URL('lib/', root), { recursive: true })
      .map(file => `lib/${file}`)
      .filter(file => file.endsWith('.ts'))
    const codes = modules.flatMap(file => read(file).match(/(?<=code: ')FDWIRE_\w+/g) ?? [])
    const rows = read('docs/diagnostics.md').match(/(?<=^\| `)FDWIRE_\w+/gm)
    expect(rows?.toSorted()).toEqual(codes.toSorted())
    expect(codes.length).toBeGreaterThan(2)
  })
})
