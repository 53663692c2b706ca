// Installs the tools in which the packed packages are tested (bundlers, TypeScript, test runners).
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { run } from './cross-tools.mjs'

const HERE = fileURLToPath(new URL('consumers', import.meta.url))
const HOME = fileURLToPath(new URL('../../target/consumers', import.meta.url))

/** Returns the folder of the tools. Installs them if they are missing or stale. */
export function installConsumers() {
  const lock = readFileSync(`${HERE}/package-lock.json`, 'utf8')
  const stamp = `${HOME}/installed-lock.json`
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return HOME
  mkdirSync(HOME, { recursive: true })
  for (const file of ['package.json', 'package-lock.json']) {
    copyFileSync(`${HERE}/${file}`, `${HOME}/${file}`)
  }
  const args = ['install', '--no-save', '--ignore-scripts', '--no-audit', '--no-fund']
  run('npm', args, { cwd: HOME })
  writeFileSync(stamp, lock)
  return HOME
}
