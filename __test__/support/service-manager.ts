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

/** Why this process cannot give systemd a control group and namespaces; undefined if it can. */
const obstacle = findObstacle()

/** Whether tests with a service manager can run. */
export const canRunSystemd = obstacle === undefined

/** What the titles of tests with a service manager end with: why they are skipped. */
export const whySkipped = obstacle === undefined ? '' : ` (skipped: ${obstacle})`

function findObstacle(): string | undefined {
  if (process.getuid?.() !== 0) return 'it needs root'
  if (!existsSync('/lib/systemd/systemd')) return 'systemd is not installed'
  if (spawnSync('test', ['-w', CGROUPS]).status !== 0) return `${CGROUPS} is not writable`
  const { status } = spawnSync('unshare', ['--mount', '--cgroup', 'true'])
  return status === 0 ? undefined : 'no namespaces can be created'
}

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
  systemctl(...args: string[]): Promise<string> {
    return this.#run('systemctl', '--user', '--no-pager', ...args)
  }

  /** Runs systemd-run, and returns what it prints. */
  systemdRun(...args: string[]): Promise<string> {
    return this.#run('systemd-run', '--user', '--quiet', ...args)
  }

  /** Runs a program in the mount namespace of the manager. */
  async #run(...command: string[]): Promise<string> {
    const namespace = ['--target', String(this.#process.pid), '--mount']
    const { stdout } = await promisify(execFile)('nsenter', [...namespace, ...command], {
      env: this.#env,
    })
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
