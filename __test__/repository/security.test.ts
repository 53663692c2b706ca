import { existsSync, readFileSync } from 'node:fs'
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

  it('has a command of package.json for each row', () => {
    const page = read('docs/reliability.md')
    const { scripts } = JSON.parse(read('package.json'))
    const commands = [...page.matchAll(/`npm run (\w+)/g)].map(([, name]) => name as string)
    expect(commands.length).toBeGreaterThan(8)
    for (const name of commands) expect(Object.keys(scripts)).toContain(name)
  })
})
