import { execFileSync } from 'node:child_process'
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const PACKAGES = fileURLToPath(new URL('../../target/packages', import.meta.url))

/**
 * Installs the packed main package and the platform package of this system into an empty project,
 * without scripts.
 */
export function installTarballs(project) {
  // The libraries of Alpine are in the same folders on all processors.
  const isMusl = readdirSync('/lib').some(file => file.startsWith('ld-musl-'))
  const system = `linux-${process.arch}-${isMusl ? 'musl' : 'gnu'}`
  const tarballs = readdirSync(PACKAGES)
    .filter(file => /^fdwire-\d.*\.tgz$/.test(file) || file.startsWith(`fdwire-${system}-`))
    .map(file => join(PACKAGES, file))
  if (tarballs.length !== 2) throw new Error(`Run npm run packages first: no package for ${system}`)
  writeFileSync(join(project, 'package.json'), '{ "private": true, "type": "module" }\n')
  const args = ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  execFileSync('npm', [...args, ...tarballs], { cwd: project, stdio: ['ignore', 2, 2] })
}
