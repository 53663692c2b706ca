/** The programs before and after a migration, with the original packages. */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { cleanUpAfterEach, temporaryDirectory, testPath } from '../support/processes.js'
import { pythonWithPeers } from '../support/venv.js'

cleanUpAfterEach()

const FOLDER = testPath('../docs/migration')
const pages = readdirSync(FOLDER).filter(name => name !== 'README.md')

interface Program {
  code: string
  /** The lines that it prints, by its comments `→ …`. */
  prints: string[]
}

/** Returns the first program after a heading of a page. */
function programAfter(page: string, heading: string): Program | undefined {
  const text = readFileSync(`${FOLDER}/${page}`, 'utf8')
  const section = text.slice(text.indexOf(`\n## ${heading}`))
  const code = /^```\w+\n([\s\S]*?)^```/m.exec(section)?.[1]
  if (code === undefined) return undefined
  return {
    code,
    prints: [...code.matchAll(/(?:#|\/\/) → (.*)/g)].map(([, line]) => line as string),
  }
}

describe.each(pages)('docs/migration/%s', page => {
  it('has the names of both sides, and a program before and after', () => {
    const text = readFileSync(`${FOLDER}/${page}`, 'utf8')
    const headings = [...text.matchAll(/^## (\w+)/gm)].map(([, heading]) => heading)
    expect(headings.slice(0, 3)).toEqual(['Names', 'Before', 'After'])
    expect(headings).toContain('What')
    expect(programAfter(page, 'Before')?.code).not.toBe(undefined)
    expect(programAfter(page, 'After')?.prints.length).toBeGreaterThan(0)
  })

  it('shows programs that print the same before and after, where both say what', () => {
    const before = programAfter(page, 'Before')?.prints ?? []
    const after = programAfter(page, 'After')?.prints
    // Python prints True for true.
    if (before.length > 0) expect(before.map(line => line.replace('True', 'true'))).toEqual(after)
  })
})

describe('the program before the migration from stockings', () => {
  it('prints with the original package what the page says', () => {
    const { code = '', prints } = programAfter('stockings.md', 'Before') ?? { prints: [] }
    const { command, env } = pythonWithPeers()
    const cwd = temporaryDirectory()
    const printed = execFileSync(command, ['-c', code], {
      cwd,
      env,
      encoding: 'utf8',
      timeout: 60_000,
    })
    expect(printed.trim().split('\n')).toEqual(prints)
  })
})
