import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { ECHO, PRINTED } from './project.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'fdwire-git-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('a git dependency', () => {
  it('builds the addon of this system while npm installs it', { timeout: 1_200_000 }, () => {
    writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }')
    writeFileSync(join(folder, 'echo.mjs'), ECHO)
    // The crates are compiled already in this folder.
    const env = { ...process.env, CARGO_TARGET_DIR: join(root, 'target') }
    const options = { cwd: folder, env, stdio: 'pipe' as const }
    execFileSync('npm', ['install', '--no-audit', '--no-fund', `git+file://${root}#HEAD`], options)
    const printed = execFileSync(process.execPath, ['echo.mjs'], { cwd: folder, encoding: 'utf8' })
    expect(printed).toBe(PRINTED)
  })
})
