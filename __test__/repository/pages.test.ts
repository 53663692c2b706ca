/** The pages of the documents: how a reader finds them, and what they repeat. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, normalize } from 'node:path'
import { describe, expect, it } from 'vitest'
import { DGRAM_REQUEST_TIMEOUT } from '../../lib/channel/core.js'
import { CLOSE_TIMEOUT } from '../../lib/channel/lifecycle.js'
import { checkServe } from '../../lib/channel/serve/options.js'
import { checkOptions } from '../../lib/options/check.js'
import { OPTIONS, type OptionName } from '../../lib/options/table.js'
import { testPath } from '../support/processes.js'

const ROOT = testPath('..')
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8')
const pages = readdirSync(join(ROOT, 'docs'), { recursive: true })
  .map(file => normalize(`docs/${file}`))
  .filter(file => file.endsWith('.md'))

/** Returns the pages and folders that a page links. */
function linksOf(page: string): string[] {
  return [...read(page).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)]
    .map(([, target]) => normalize(join(dirname(page), target as string)))
    .filter(target => existsSync(join(ROOT, target)))
}

describe('the README', () => {
  it('leads to every page of docs/: it links the page, its folder, or an index page that links it', () => {
    const linked = linksOf('README.md')
    const indexes = linked.filter(page => page.startsWith('docs/') && isIndex(page))
    const found = new Set([...linked, ...indexes.flatMap(linksOf)])
    const lost = pages.filter(page => !found.has(page) && !found.has(dirname(page)))
    expect(lost).toEqual([])
  })
})

function isIndex(page: string): boolean {
  return basename(page) === 'README.md'
}

describe('an index page', () => {
  it.each(pages.filter(isIndex))('%s links every page of its folder', index => {
    const linked = linksOf(index)
    const own = pages.filter(page => dirname(page) === dirname(index) && page !== index)
    expect(own.filter(page => !linked.includes(page))).toEqual([])
  })
})

describe('a guide', () => {
  const guides = pages.filter(page => dirname(page) === 'docs/guides' && !isIndex(page))

  it.each(guides)('%s has a program, which CI runs, and a table', guide => {
    expect(read(guide)).toMatch(/^```js\n/m)
    expect(read(guide)).toMatch(/^\| --- \|/m)
  })
})

describe('a code block marked ts', () => {
  it('compiles in strict mode, on every page', () => {
    const folder = join(ROOT, 'target/ts-blocks')
    mkdirSync(folder, { recursive: true })
    const files = ['README.md', ...pages].flatMap(page =>
      [...read(page).matchAll(/^```ts\n([\s\S]*?)^```/gm)].map(([block, code], index) => {
        const file = join(folder, `${page.replaceAll('/', '-')}-${index}.ts`)
        // `export` makes a module of it, in which await is allowed.
        writeFileSync(file, `${code}\nexport {}\n`)
        return block === '' ? '' : file
      }),
    )
    expect(files.length).toBeGreaterThan(5)
    const options = ['--ignoreConfig', '--noEmit', '--strict', '--module', 'nodenext']
    const tsc = join(ROOT, 'node_modules/.bin/tsc')
    const { stdout, status } = spawnSync(
      tsc,
      [...options, '--target', 'es2023', '--types', 'node', ...files],
      { encoding: 'utf8' },
    )
    rmSync(folder, { recursive: true })
    expect(stdout).toBe('')
    expect(status).toBe(0)
  })
})

describe('docs/guides/security.md', () => {
  const [options = [], calls = []] = tablesOf('docs/guides/security.md')

  /** Options with a number that limits nothing. */
  const NO_LIMITS = ['lengthBytes', 'lengthAdjustment', 'busyPoll']
  const defaultOf = (name: string): unknown => {
    const records = { protocol: 'jsoncomm' }
    const streams = { protocol: 'length_prefixed' }
    const datagrams = ['sendTimeout', 'maxQueuedTotal'].includes(name)
    const checked = datagrams ? checkOptions('bind', records) : checkOptions('listen', streams)
    return checked[name as OptionName]
  }

  it('lists every option that is a limit, in the order of OPTIONS', () => {
    const limits = Object.keys(OPTIONS).filter(
      name => typeof defaultOf(name) === 'number' && !NO_LIMITS.includes(name),
    )
    expect(options.map(([name]) => name).sort()).toEqual(limits.sort())
  })

  it.each(options)('states the default of %s', (name, stated, unit) => {
    expect(stated).toBe(formatted(defaultOf(name), unit))
  })

  it.each(calls)('states the default of %s', (name, stated, unit) => {
    const { reconnect } = OPTIONS
    const waits = reconnect.check('reconnect', {})
    const defaults: Readonly<Record<string, number>> = {
      'concurrency of serve': checkServe(() => {}, {}).concurrency,
      'timeout of request on datagrams': DGRAM_REQUEST_TIMEOUT,
      'timeout of close': CLOSE_TIMEOUT,
      'minDelay of reconnect': waits.minDelay,
      'maxDelay of reconnect': waits.maxDelay,
    }
    expect(stated).toBe(formatted(defaults[name], unit))
  })

  it('states how many descriptors jsoncomm takes', () => {
    const { maxFds } = checkOptions('listen', { protocol: 'jsoncomm', type: 'seqpacket' })
    expect(read('docs/guides/security.md')).toContain(`default of \`jsoncomm\` is ${maxFds}`)
  })
})

describe('docs/guides/systemd.md', () => {
  it.each(['greeter.socket', 'greeter.service'])('shows %s as it is in examples/systemd', unit => {
    const blocks = read('docs/guides/systemd.md').split('```')
    const shown = blocks.find(block => block.startsWith(`ini\n# ${unit}\n`))
    expect(shown).toBe(`ini\n# ${unit}\n${read(`examples/systemd/${unit}`)}`)
  })
})

/** Returns name, default and unit of the rows of the tables of a page that have these columns. */
function tablesOf(page: string): [name: string, stated: string, unit: string][][] {
  const tables = read(page).matchAll(/^\| Option.* \| Default \| Unit \|.*\n\|.*\n((?:\|.*\n)+)/gm)
  return [...tables].map(([, rows = '']) =>
    rows
      .trim()
      .split('\n')
      .map(row => row.split('|').map(cell => cell.trim().replaceAll('`', '')))
      .map(([, name = '', stated = '', unit = '']) => [name, stated, unit]),
  )
}

/** Formats a default as the documents do: `64 KiB`, `30,000`, `0o600`. */
function formatted(value: unknown, unit: string): string {
  const number = Number(value)
  if (unit === '') return `0o${number.toString(8)}`
  if (unit === 'bytes' && number % (1 << 20) === 0) return `${number >> 20} MiB`
  if (unit === 'bytes' && number % (1 << 10) === 0) return `${number >> 10} KiB`
  return number.toLocaleString('en-US')
}
