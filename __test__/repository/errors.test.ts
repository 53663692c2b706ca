/** docs/errors.md: each error, with a program that provokes it. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { ERROR_CODES, type ErrorCode } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { testPath } from '../support/processes.js'

const ROOT = testPath('..')
const PAGE = 'docs/errors.md'

/** The sections of the page below the headings that are codes. */
const sections = new Map(
  readFileSync(`${ROOT}/${PAGE}`, 'utf8')
    .split(/^#{2,3} /m)
    .map(section => [section.slice(0, section.indexOf('\n')), section]),
)
const codes = Object.keys(ERROR_CODES) as ErrorCode[]

describe('the page of the errors', () => {
  it('has a section for each code, and for no other', () => {
    const documented = [...sections.keys()].filter(title => title.startsWith('ERR_'))
    expect(documented.sort()).toEqual([...codes].sort())
  })

  it.each(codes)(
    'tells the cause of %s and the remedy, and has a program that provokes it',
    code => {
      const section = sections.get(code) ?? ''
      expect(section).toMatch(/^- \*\*Cause:\*\* .+/m)
      expect(section).toMatch(/^- \*\*Remedy:\*\* .+/m)
      const [, program = ''] = /^```js part\n(.*?)^```$/ms.exec(section) ?? []
      // What a program prints: the code, the fault and the message.
      const printed = [...program.matchAll(/^\/\/ → (\w+) \((\w+)\): .+$/gm)]
      const own = printed.filter(([, one]) => one === code)
      expect(own.map(([, , fault]) => fault)).toContain(ERROR_CODES[code].fault)
      // An error of another party is an exception that the text explains.
      for (const [, , fault] of own) {
        const explanation = new RegExp(`the\\s+${fault}\\s+is\\s+at\\s+fault`)
        if (fault !== ERROR_CODES[code].fault) expect(section).toMatch(explanation)
      }
    },
  )

  it('shows what its programs print: the codes, faults and messages of real errors', () => {
    const check = [`${ROOT}/scripts/check-docs.mjs`, PAGE]
    const output = execFileSync(process.execPath, check, { encoding: 'utf8', stdio: 'pipe' })
    const programs = Number(/ (\d+) programs run as documented/.exec(output)?.[1])
    expect(programs).toBeGreaterThan(codes.length)
  }, 180_000)
})
