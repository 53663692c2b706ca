import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { OPTIONS } from '../../lib/options/table.js'

const root = new URL('../../', import.meta.url)
const read = (file: string): string => readFileSync(new URL(file, root), 'utf8')

/** Options of calls and of modules, which are not in the table of options. */
const OTHERS = ['maxAttempts', 'onError', 'trust']

/** Returns the rows of the tables in a section, without their heads. */
function rowsOf(section: string): string[][] {
  return section
    .split('\n')
    .filter(line => line.startsWith('| ') && !/^\| (?:threat|---)/.test(line))
    .map(line =>
      line
        .split('|')
        .slice(1, -1)
        .map(cell => cell.trim()),
    )
}

const model = /\n## Threat model\n([\s\S]*?)\n## /.exec(read('SECURITY.md'))?.[1] ?? ''

describe('the threat model in SECURITY.md', () => {
  const rows = rowsOf(model)

  it('has rows of four cells', () => {
    expect(rows.length).toBeGreaterThan(30)
    for (const row of rows) expect(row).toHaveLength(4)
  })

  it.each(rows)(
    'names what holds, and an existing test that asserts: %s',
    (_, holds, option, test) => {
      expect(holds).not.toBe('')
      const file = /^`([\w/.-]+)`$/.exec(test ?? '')?.[1] ?? ''
      expect(existsSync(new URL(file, root)), test).toBe(true)
      expect(file).toMatch(/^(?:__test__|stress\/cases|crates|fuzz)\//)
      expect(read(file)).toMatch(/\b(?:expect|check|deepStrictEqual|assert\w*!?)\(/)
      for (const [, name = ''] of (option ?? '').matchAll(/`(\w+)/g)) {
        expect([...Object.keys(OPTIONS), ...OTHERS]).toContain(name)
      }
    },
  )
})

describe('a secret', () => {
  it('is compared in one place, which takes the same time for every wrong key', () => {
    const source = read('lib/compat/socket_protocol/authentification.ts')
    expect(source.match(/timingSafeEqual\(/g)).toHaveLength(1)
    expect(source).not.toMatch(
      /(?:===|!==|==|!=) *expected|expected *(?:===|!==|==|!=) (?!undefined)/,
    )
  })
})

describe('docs/reliability.md', () => {
  it('names an existing test for each fault that was found', () => {
    const findings: { by: string; fault: string; test: string }[] = JSON.parse(
      read('stress/findings.json'),
    )
    for (const { by, fault, test } of findings) {
      expect([by, fault]).not.toContain('')
      expect(existsSync(new URL(test, root)), test).toBe(true)
    }
  })

  it('has the number of workers, callbacks and states of a channel that the tests have', () => {
    const page = read('docs/reliability.md')
    const casesOf = (test: string) =>
      Number(new RegExp(`\\| ([\\d,]+) \\| \`[^|]*${test}\\b`).exec(page)?.[1])
    const [, workers] = /WORKERS = (\d+)/.exec(read('__test__/threads/ended-workers.test.ts')) ?? []
    expect(casesOf('threads/ended-workers')).toBe(Number(workers))
    const child = fileURLToPath(new URL('__test__/support/children/callback-ends.mjs', root))
    const callbacks = JSON.parse(execFileSync(process.execPath, [child, 'list']).toString())
    // Each callback ends in two ways, in a process and in a worker.
    expect(casesOf('channel/callback-ends')).toBe(callbacks.length * 4)
    const readiness = read('crates/channel/tests/readiness.rs')
    const [states, events] = ['STATES', 'EVENTS'].map(name =>
      Number(new RegExp(`${name}: \\[\\w+; (\\d+)\\]`).exec(readiness)?.[1]),
    )
    // Each of the four kinds of sockets lacks one state. The hang-up is watched, or not.
    expect(casesOf('readiness')).toBe(4 * ((states ?? 0) - 1) * (events ?? 0) * 2)
  })

  it('names existing tests', () => {
    const tests = read('docs/reliability.md').match(/__test__\/[\w/.-]+\.ts/g) ?? []
    expect(tests.length).toBeGreaterThan(8)
    for (const test of tests) expect(existsSync(new URL(test, root)), test).toBe(true)
  })

  it('has a command of package.json for each row', () => {
    const page = read('docs/reliability.md')
    const { scripts } = JSON.parse(read('package.json'))
    const commands = [...page.matchAll(/`npm run (\w+)/g)].map(([, name]) => name as string)
    expect(commands.length).toBeGreaterThan(8)
    for (const name of commands) expect(Object.keys(scripts)).toContain(name)
  })
})
