import { type ChildProcess, type IOType, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { closeSync } from 'node:fs'
import type { Stream } from 'node:stream'
import { checkCallOptions } from '../../options/check.js'
import { checkOneOf } from '../../util/checks.js'
import { serviceArgs } from './service-args.js'
import { Socket } from './socket.js'

/** Where a service's output goes, as `child_process.spawn` takes it. */
export type Output = IOType | number | Stream

/** Options of `ServiceClient.start`. */
export interface StartOptions {
  /** What the service is called (a random UUID). */
  id?: string | undefined
  /** Arguments that stand behind `--service-id ID --service-fd FD` (none). */
  extra?: readonly string[] | undefined
  /** The working directory (ours). */
  cwd?: string | undefined
  /** The environment (ours). */
  env?: NodeJS.ProcessEnv | undefined
  /** Where stdout goes (`'inherit'`); with `'pipe'` it is `client.child.stdout`. */
  stdout?: Output | undefined
  /** Where stderr goes (`'inherit'`). */
  stderr?: Output | undefined
}

/** How a process has ended: one of these is null. */
export interface Exit {
  /** The exit code. */
  code: number | null
  /** The signal that has killed it. */
  signal: NodeJS.Signals | null
}

/** Where the child finds its end of the pair. */
const CHILD_FD = 3

/** The process of a service, and how it has ended. */
export class ServiceProcess {
  readonly id: string
  readonly child: ChildProcess
  /** Resolves when it has ended. */
  readonly exited: Promise<Exit>

  private constructor(id: string, child: ChildProcess) {
    this.id = id
    this.child = child
    // Also where a process can't be killed, or started: who has started it is told.
    child.on('error', () => {})
    this.exited = new Promise(resolve => {
      child.once('exit', (code, signal) => resolve({ code, signal }))
    })
  }

  /**
   * Starts a service with one end of a pair; the other end is the client's.
   *
   * # Errors
   * Those of `child_process.spawn`: ENOENT, EACCES …
   */
  static async start(
    command: string,
    args: readonly string[],
    options: StartOptions,
  ): Promise<[ServiceProcess, Socket]> {
    checkCallOptions('start', options, ['id', 'extra', 'cwd', 'env', 'stdout', 'stderr'])
    const { id = randomUUID(), extra = [], stdout = 'inherit', stderr = 'inherit' } = options
    for (const output of [stdout, stderr]) {
      if (typeof output === 'string')
        checkOneOf('stdout, stderr', output, ['inherit', 'ignore', 'pipe'])
    }
    const [ours, theirs] = Socket.newPair({ type: 'seqpacket' })
    // As it was made: a peer without fdwire knows nothing of what a channel sets.
    const fd = theirs.channel.detach()
    try {
      const line = [...args, ...serviceArgs(id, CHILD_FD), ...extra]
      const where = { cwd: options.cwd, env: options.env }
      const child = spawned(fd, () =>
        spawn(command, line, { ...where, stdio: ['ignore', stdout, stderr, fd] }),
      )
      const service = new ServiceProcess(id, child)
      await once(child, 'spawn')
      return [service, ours]
    } catch (error) {
      await ours.close()
      throw error
    }
  }

  /** Waits for its end; one that takes longer than `timeout` (ms, 0: for ever) is killed. */
  async end(timeout: number): Promise<Exit> {
    const kill = () => this.child.kill('SIGKILL')
    const timer = timeout > 0 ? setTimeout(kill, timeout) : undefined
    const exit = await this.exited
    clearTimeout(timer)
    return exit
  }

  /** How it has ended, in words; where it has not after `patience` (ms), that is said. */
  async tellEnd(patience: number): Promise<string> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<undefined>(resolve => {
      // What has come while this thread was busy comes before the time is up.
      timer = setTimeout(() => setImmediate(resolve, undefined), patience)
    })
    const exit = await Promise.race([this.exited, late])
    clearTimeout(timer)
    if (exit === undefined) return 'its process goes on'
    const { code, signal } = exit
    return signal === null ? `exit code ${code}` : `killed by ${signal}`
  }
}

/** The child has the descriptor from the beginning, or never. */
function spawned<T>(fd: number, spawn: () => T): T {
  try {
    return spawn()
  } finally {
    closeSync(fd)
  }
}
