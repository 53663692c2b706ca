// @ts-check
/** What a run needs: programs, npm packages, and a directory for its sockets. */

import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { installNode } from '../scripts/node-versions.mjs'

/**
 * Builds and installs what is missing. The directory is removed when this process exits.
 * @param {string} node a version, such as 24, or a path
 * @param {{ npm: boolean }} options whether to install the npm packages
 * @returns {import('./session.mjs').Place}
 */
export function preparePlace(node, { npm }) {
  if (npm) installNpmPeers()
  const parent = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
  const directory = mkdtempSync(join(parent, 'fdwire-bench-'))
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1))
  const file = join(directory, 'passed')
  writeFileSync(file, 'passed\n')
  return { node: findNode(node), floor: buildFloor(), directory, file }
}

/** Installs the npm packages. If that fails, their contenders are reported as unavailable. */
function installNpmPeers() {
  const folder = fileURLToPath(new URL('npm', import.meta.url))
  if (existsSync(join(folder, 'node_modules'))) return
  try {
    execFileSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
      cwd: folder,
      stdio: 'inherit',
    })
  } catch (error) {
    console.error(`npm ci in ${folder} failed: ${error}`)
  }
}

/** Returns the path of a `node`. @param {string} given a version, such as 24, or a path */
export function findNode(given) {
  return /^[\d.]+$/.test(given) ? join(installNode(given), 'node') : resolve(given)
}

/** Builds the floor and returns the path of its program. @returns {string} */
export function buildFloor() {
  const lines = execFileSync(
    'cargo',
    ['build', '--release', '-p', 'fdwire-bench-floor', '--message-format=json-render-diagnostics'],
    { cwd: fileURLToPath(new URL('..', import.meta.url)), encoding: 'utf8' },
  )
  const built = lines.split('\n').find(line => line.includes('"executable":"'))
  if (!built) throw new Error('cargo build reported no executable for fdwire-bench-floor')
  return JSON.parse(built).executable
}
