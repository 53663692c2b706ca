/** Runs shell scripts in which `fdwire` is the command line of this package. */
import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach } from 'vitest'

const MAIN = fileURLToPath(new URL('../../dist/lib/cli/main.js', import.meta.url))

/** What a script has printed, and its exit code. */
export interface Output {
  stdout: string
  stderr: string
  code: number | null
}

/** A temporary folder in which scripts run. */
export class Shell {
  readonly folder = mkdtempSync(join(tmpdir(), 'fdwire-cli-'))
  readonly #env: NodeJS.ProcessEnv
  readonly #running = new Set<ChildProcess>()

  constructor() {
    const bin = join(this.folder, '.bin')
    const file = join(bin, 'fdwire')
    mkdirSync(bin)
    writeFileSync(file, `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`)
    chmodSync(file, 0o755)
    this.#env = { ...process.env, PATH: `${bin}:${dirname(process.execPath)}:${process.env.PATH}` }
  }

  /** Runs a script to its end, its background jobs included. */
  async run(script: string, input = ''): Promise<Output> {
    const child = this.start(`${script}\ncode=$?\nwait\nexit $code`)
    const output = { stdout: '', stderr: '' }
    child.stdout?.on('data', chunk => {
      output.stdout += chunk
    })
    child.stderr?.on('data', chunk => {
      output.stderr += chunk
    })
    // The script may end before it has read its input.
    child.stdin?.on('error', () => {})
    child.stdin?.end(input)
    const code = await new Promise<number | null>(resolve => child.once('close', resolve))
    return { ...output, code }
  }

  /** Starts a script in its own process group, which ends with the test. */
  start(script: string): ChildProcess {
    const options = { cwd: this.folder, env: this.#env, detached: true }
    const child = spawn('bash', ['-c', script], options)
    this.#running.add(child)
    child.once('close', () => this.#running.delete(child))
    return child
  }

  /** Ends what still runs and removes the folder. */
  async close(): Promise<void> {
    await Promise.all(
      [...this.#running].map(async child => {
        const closed = new Promise(resolve => child.once('close', resolve))
        killGroup(child)
        await closed
      }),
    )
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** Ends a script and its children, of which the last may have just exited. */
function killGroup({ pid }: ChildProcess): void {
  try {
    process.kill(-(pid as number), 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** Returns a new shell per test, which is closed after it. */
export function newShell(): Shell {
  const shell = new Shell()
  shells.push(shell)
  return shell
}

const shells: Shell[] = []

afterEach(async () => {
  await Promise.all(shells.splice(0).map(shell => shell.close()))
})
