/**
 * A Python with the packages of `peers/requirements.txt`, installed once per checkout in target/.
 */
import { type SpawnSyncReturns, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'

const REQUIREMENTS = fileURLToPath(new URL('peers/requirements.txt', import.meta.url))
const HOME = fileURLToPath(new URL('../../target/venv', import.meta.url))
/** Records what is installed. It is written last, so an incomplete installation has none. */
const STAMP = 'requirements.txt'
const PIP = [
  '-m',
  'pip',
  '--disable-pip-version-check',
  '--no-input',
  'install',
  '--require-hashes',
]

/** The command and environment of a Python that has the packages. */
export interface Python {
  command: string
  env: NodeJS.ProcessEnv
}

/**
 * Installs the packages if they are missing, and returns how to start Python with them.
 *
 * Without the venv module (Debian without python3-venv) the packages go to a folder on PYTHONPATH.
 * Throws if the installation fails: a missing peer fails the test instead of skipping it.
 */
export function pythonWithPeers(): Python {
  if (!isInstalled()) install()
  const own = `${HOME}/bin/python3`
  if (existsSync(own)) return { command: own, env: process.env }
  return { command: 'python3', env: { ...process.env, PYTHONPATH: `${HOME}/packages` } }
}

function isInstalled(): boolean {
  const stamp = `${HOME}/${STAMP}`
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === expectedStamp()
}

/** The installation depends on the requirements and on the version of Python. */
function expectedStamp(): string {
  return `${run('python3', ['--version']).stdout}${readFileSync(REQUIREMENTS, 'utf8')}`
}

/** Two test files may install at once: each uses its own folder, and the first rename wins. */
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
  writeFileSync(`${folder}/${STAMP}`, expectedStamp())
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
  const outputs = steps.map(({ error, stdout, stderr }) => error?.message ?? `${stdout}${stderr}`)
  throw new Error(
    `Cannot install the Python packages of the test peers: install venv or pip for Python 3 (on ` +
      `Debian the package python3-venv) and allow access to PyPI.\n${outputs.join('\n')}`,
  )
}
