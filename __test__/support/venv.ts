/** Python with the packages of `peers/requirements.txt`, installed once a machine below target/. */
import { type SpawnSyncReturns, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'

const REQUIREMENTS = fileURLToPath(new URL('peers/requirements.txt', import.meta.url))
const HOME = fileURLToPath(new URL('../../target/venv', import.meta.url))
/** Says what is in there: written last, so that half an installation is none. */
const STAMP = 'requirements.txt'
const PIP = [
  '-m',
  'pip',
  '--disable-pip-version-check',
  '--no-input',
  'install',
  '--require-hashes',
]

/** How to start a Python that has the packages. */
export interface Python {
  command: string
  env: NodeJS.ProcessEnv
}

/**
 * Installs what is missing, and says how to start it.
 *
 * Where Python comes without venv (Debian's, without python3-venv) a folder beside it does. Throws
 * where that can't be done either: a peer that is not there is a failure, and no test is skipped.
 */
export function pythonWithPeers(): Python {
  if (!isInstalled()) install()
  const own = `${HOME}/bin/python3`
  if (existsSync(own)) return { command: own, env: process.env }
  return { command: 'python3', env: { ...process.env, PYTHONPATH: `${HOME}/packages` } }
}

function isInstalled(): boolean {
  const stamp = `${HOME}/${STAMP}`
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted()
}

/** What an installation depends on: another Python has other places for its packages. */
function wanted(): string {
  return `${run('python3', ['--version']).stdout}${readFileSync(REQUIREMENTS, 'utf8')}`
}

/** Two test files may do it at once: each works aside, and the first one wins. */
function install(): void {
  const folder = `${HOME}-${process.pid}`
  mkdirSync(dirname(folder), { recursive: true })
  rmSync(folder, { recursive: true, force: true })
  const venv = run('python3', ['-m', 'venv', folder])
  if (venv.status === 0) {
    check(run(`${folder}/bin/python3`, [...PIP, '-r', REQUIREMENTS]))
  } else {
    rmSync(folder, { recursive: true, force: true })
    const pip = run('python3', [...PIP, '--target', `${folder}/packages`, '-r', REQUIREMENTS])
    check(pip, venv)
  }
  writeFileSync(`${folder}/${STAMP}`, wanted())
  if (!isInstalled()) rmSync(HOME, { recursive: true, force: true })
  try {
    renameSync(folder, HOME)
  } catch (error) {
    rmSync(folder, { recursive: true, force: true })
    if (!isInstalled()) throw error
  }
}

function run(command: string, args: string[]): SpawnSyncReturns<string> {
  return spawnSync(command, args, { encoding: 'utf8' })
}

function check(...steps: SpawnSyncReturns<string>[]): void {
  if (steps[0]?.status === 0) return
  const said = steps.map(({ error, stdout, stderr }) => error?.message ?? `${stdout}${stderr}`)
  throw new Error(
    `The peers of the tests can't be installed: Python 3 needs venv or pip (on Debian the package ` +
      `python3-venv), and the way to PyPI.\n${said.join('\n')}`,
  )
}
