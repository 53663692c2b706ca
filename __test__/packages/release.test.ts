import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const { version } = JSON.parse(readFileSync(`${root}/package.json`, 'utf8'))
const isDated = new RegExp(`^## \\[${version}\\] - \\d{4}-\\d\\d-\\d\\d$`, 'm')
const hasDate = isDated.test(readFileSync(`${root}/CHANGELOG.md`, 'utf8'))

const check = (tag: string) => {
  const script = 'scripts/packages/check-release.mjs'
  return spawnSync(process.execPath, [script, tag], { cwd: root, encoding: 'utf8' })
}

describe('the check of a release', () => {
  it('refuses a tag that is not the version of the package', () => {
    const { status, stderr } = check('v99.0.0')
    expect(status).toBe(1)
    expect(stderr).toContain(`The tag is v99.0.0, and package.json has version ${version}`)
  })

  it('accepts the version only with a dated section in the changelog', () => {
    const { status, stderr } = check(`v${version}`)
    expect(status).toBe(hasDate ? 0 : 1)
    expect(stderr).toMatch(hasDate ? /^$/ : /CHANGELOG\.md needs a heading/)
  })
})
