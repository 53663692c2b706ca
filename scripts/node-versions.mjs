// Installs other versions of Node under target/, from the npm packages that contain them.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const TARGET = fileURLToPath(new URL('../target', import.meta.url))

/** Returns the folder of the `node` of a version, such as '24'. Installs it if it is missing. */
export function installNode(version) {
  const name = `node-linux-${process.arch}`
  const home = `${TARGET}/node-${version}`
  const folder = `${home}/node_modules/${name}/bin`
  if (existsSync(`${folder}/node`)) return folder
  mkdirSync(home, { recursive: true })
  writeFileSync(`${home}/package.json`, '{ "private": true }\n')
  const args = ['install', '--no-audit', '--no-fund', `${name}@${version}`]
  const { status, error } = spawnSync('npm', args, { cwd: home, stdio: ['ignore', 2, 2] })
  if (status !== 0) {
    const reason = error?.message ?? `npm exited with ${status}`
    throw new Error(`Cannot install Node ${version} (npm package ${name}) in ${home}: ${reason}`)
  }
  return folder
}
