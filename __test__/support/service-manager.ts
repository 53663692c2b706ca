/** A real service manager: `systemd --user`, with a mount and a cgroup namespace of its own. */
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { promisify } from 'node:util'
import { temporaryDirectory } from './processes.js'

/** The hierarchy of control groups that systemd uses on systems with version 1. */
const CGROUPS = '/sys/fs/cgroup/systemd'

/** Whether this process may give systemd a control group and namespaces of its own. */
export const canRunSystemd =
  process.getuid?.() === 0 &&
  spawnSync('test', ['-w', CGROUPS]).status === 0 &&
  spawnSync('unshare', ['--mount', '--cgroup', 'true']).status === 0

// systemd moves the processes of its root group, so that must be one without other processes.
const START = `
  set -e
  mkdir "$0"
  echo $$ >"$0/cgroup.procs"
  exec unshare --mount --cgroup sh -c '
    mount -t tmpfs tmpfs /sys/fs/cgroup
    mkdir ${CGROUPS}
    mount -t cgroup -o none,name=systemd cgroup ${CGROUPS}
    mount -t tmpfs tmpfs /run/systemd
    mkdir /run/systemd/system
    exec /lib/systemd/systemd --user'`

let managers = 0

/** A running service manager, and the folder of its units. */
export class ServiceManager {
  readonly folder: string
  readonly #process: ChildProcess
  readonly #group = join(CGROUPS, `fdwire-test-${process.pid}-${managers++}`)
  readonly #env: NodeJS.ProcessEnv

  private constructor(folder: string) {
    this.folder = folder
    const runtime = join(folder, 'run')
    mkdirSync(runtime, { mode: 0o700 })
    this.#env = {
      PATH: process.env.PATH,
      HOME: folder,
      XDG_RUNTIME_DIR: runtime,
      // The units of the system follow: those that stop the manager are among them.
      SYSTEMD_UNIT_PATH: `${folder}:`,
    }
    this.#process = spawn('sh', ['-c', START, this.#group], { env: this.#env, stdio: 'ignore' })
  }

  /** Starts a manager with units, by name. */
  static async start(units: (folder: string) => Record<string, string>): Promise<ServiceManager> {
    const folder = temporaryDirectory()
    // These two are empty, so that no unit of the system is started.
    const empty = { 'basic.target': '[Unit]', 'default.target': '[Unit]' }
    for (const [name, text] of Object.entries({ ...empty, ...units(folder) })) {
      writeFileSync(join(folder, name), text)
    }
    const manager = new ServiceManager(folder)
    while (!existsSync(join(folder, 'run/systemd/private'))) {
      if (manager.#process.exitCode !== null) throw new Error('systemd --user has exited')
      await setTimeout(20)
    }
    return manager
  }

  /** Runs systemctl, and returns what it prints. */
  async systemctl(...args: string[]): Promise<string> {
    const namespace = ['--target', String(this.#process.pid), '--mount']
    const { stdout } = await promisify(execFile)(
      'nsenter',
      [...namespace, 'systemctl', '--user', '--no-pager', ...args],
      { env: this.#env },
    )
    return stdout.trim()
  }

  /** Returns a property of a unit. */
  show(unit: string, property: string): Promise<string> {
    return this.systemctl('show', '--value', `--property=${property}`, unit)
  }

  /** Stops all units and the manager. */
  async stop(): Promise<void> {
    const exited = once(this.#process, 'exit')
    this.#process.kill('SIGTERM')
    await exited
    const groups = ['find', this.#group, '-depth', '-type', 'd', '-exec', 'rmdir', '{}', ';']
    await promisify(execFile)('env', groups)
  }
}
