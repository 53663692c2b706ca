// Installs npm packages that only some tests need, outside the packages of the repository.
import { execFileSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'

/**
 * Installs what `package.json` and `package-lock.json` in a folder list in another folder, if it is
 * missing or stale. Both may be the same folder. `options` are further options of `npm install`; `stamp`
 * is what the installation depends on besides.
 */
export function installLocked(from, to, options = [], stamp = '') {
  const lock = `${readFileSync(`${from}/package-lock.json`, 'utf8')}${stamp}`
  const installed = `${to}/node_modules/installed-lock.json`
  if (existsSync(installed) && readFileSync(installed, 'utf8') === lock) return
  mkdirSync(to, { recursive: true })
  for (const file of ['package.json', 'package-lock.json']) {
    if (from !== to) copyFileSync(`${from}/${file}`, `${to}/${file}`)
  }
  const args = ['install', '--no-save', '--no-audit', '--no-fund', ...options]
  execFileSync('npm', args, { cwd: to, stdio: ['ignore', 2, 2] })
  writeFileSync(installed, lock)
}
