// Installs the packed packages into an empty project, as a user does, and runs a program there. It
// needs only Node, npm and tar.
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { installTarballs } from './install-tarballs.mjs'

const project = mkdtempSync(join(tmpdir(), 'fdwire-try-'))
try {
  installTarballs(project)
  copyFileSync(new URL('smoke-program.mjs', import.meta.url), join(project, 'program.mjs'))
  execFileSync(process.execPath, ['program.mjs'], { cwd: project, stdio: 'inherit' })
} finally {
  rmSync(project, { recursive: true, force: true })
}
