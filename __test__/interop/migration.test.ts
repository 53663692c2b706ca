/** The programs before and after a migration. */
import { execFileSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { MIGRATION_PAGES, programAfter, readMigration } from '../support/migration.js'
import { cleanUpAfterEach, temporaryDirectory } from '../support/processes.js'
import { pythonWithPeers } from '../support/venv.js'

cleanUpAfterEach()

describe.each(MIGRATION_PAGES)('docs/migration/%s', page => {
  it('has the names of both sides, and a program before and after', () => {
    const headings = [...readMigration(page).matchAll(/^## (\w+)/gm)].map(([, heading]) => heading)
    expect(headings.slice(0, 3)).toEqual(['Names', 'Before', 'After'])
    expect(headings).toContain('What')
    expect(programAfter(page, 'Before').code).not.toBe('')
    expect(programAfter(page, 'After').prints.length).toBeGreaterThan(0)
  })

  it('shows programs that print the same before and after, where both say what', () => {
    const before = programAfter(page, 'Before').prints
    const after = programAfter(page, 'After').prints
    // Python prints True for true.
    if (before.length > 0) expect(before.map(line => line.replace('True', 'true'))).toEqual(after)
  })
})

describe('the program before the migration from stockings', () => {
  it('prints with the original package what the page says', () => {
    const { code, prints } = programAfter('stockings.md', 'Before')
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
