// Installs other versions of Node under target/, from the npm packages that contain them.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const TARGET = fileURLToPath(new URL('../target', import.meta.url))

/**
 * Returns the folder of the `node` of a version, such as '24', for a processor (default: this one).
 * Installs it if it is missing.
 */
export function installNode(version, arch = process.arch) {
  const name = `node-linux-${arch}`
  const home = `${TARGET}/node-${version}${arch === process.arch ? '' : `-${arch}`}`
  const folder = `${home}/node_modules/${name}/bin`
  if (existsSync(`${folder}/node`)) return folder
  mkdirSync(home, { recursive: true })
  writeFileSync(`${home}/package.json`, '{ "private": true }\n')
  // npm refuses a package of another processor unless it is forced.
  const args = ['install', '--no-audit', '--no-fund', '--force', `${name}@${version}`]
  const { status, error } = spawnSync('npm', args, { cwd: home, stdio: ['ignore', 2, 2] })
  if (status !== 0) {
    const reason = error?.message ?? `npm exited with ${status}`
    throw new Error(`Cannot install Node ${version} (npm package ${name}) in ${home}: ${reason}`)
  }
  return folder
}
