import { type ChildProcess, type IOType, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { closeSync } from 'node:fs'
import type { Stream } from 'node:stream'
import { checkCallOptions } from '../../options/check.js'
import { checkOneOf } from '../../util/checks.js'
import { clearTimeout, setImmediate, setTimeout } from '../../util/timers.js'
import { serviceArgs } from './service-args.js'
import { Socket } from './socket.js'

/** Where a service's output goes: an element of the option `stdio` of `child_process.spawn`. */
export type Output = IOType | number | Stream

/** Options of `ServiceClient.start`. */
export interface StartOptions {
  /** The id of the service (default: a random UUID). */
  id?: string | undefined
  /** Arguments that follow `--service-id ID --service-fd FD` (none). */
  extra?: readonly string[] | undefined
  /** The working directory (default: that of this process). */
  cwd?: string | undefined
  /** The environment (default: that of this process). */
  env?: NodeJS.ProcessEnv | undefined
  /** Where stdout goes (`'inherit'`); with `'pipe'` it is `client.child.stdout`. */
  stdout?: Output | undefined
  /** Where stderr goes (`'inherit'`). */
  stderr?: Output | undefined
}

/** How a process has ended: either `code` or `signal` is null. */
export interface Exit {
  /** The exit code. */
  code: number | null
  /** The signal that killed it. */
  signal: NodeJS.Signals | null
}

/** The descriptor of the service's socket in the child process. */
const CHILD_FD = 3

/** The process of a service. */
export class ServiceProcess {
  readonly id: string
  readonly child: ChildProcess
  /** Resolves when the process has ended. */
  readonly exited: Promise<Exit>

  private constructor(id: string, child: ChildProcess) {
    this.id = id
    this.child = child
    // `start` rejects if spawning fails, and `kill` returns false if killing fails.
    child.on('error', () => {})
    this.exited = new Promise(resolve => {
      child.once('exit', (code, signal) => resolve({ code, signal }))
    })
  }

  /**
   * Starts a service with one end of a socket pair, and returns the other end with its process.
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
      if (typeof output !== 'string') continue
      checkOneOf('stdout, stderr', output, ['inherit', 'ignore', 'pipe'])
    }
    const argv = [...args, ...serviceArgs(id, CHILD_FD), ...extra]
    const [ours, theirs] = Socket.newPair({ type: 'seqpacket' })
    // `detach` restores the socket's options, which a peer without fdwire does not expect.
    const fd = theirs.channel.detach()
    try {
      const { cwd, env } = options
      let child: ChildProcess
      try {
        child = spawn(command, argv, { cwd, env, stdio: ['ignore', stdout, stderr, fd] })
      } finally {
        closeSync(fd)
      }
      const service = new ServiceProcess(id, child)
      await once(child, 'spawn')
      return [service, ours]
    } catch (error) {
      await ours.close()
      throw error
    }
  }

  /** Waits for the end of the process; kills it after `timeout` (ms, 0: no limit). */
  async waitOrKill(timeout: number): Promise<Exit> {
    const kill = () => this.child.kill('SIGKILL')
    const timer = timeout > 0 ? setTimeout(kill, timeout) : undefined
    const exit = await this.exited
    clearTimeout(timer)
    return exit
  }

  /** Describes how the process has ended, or that it has not after `timeout` (ms). */
  async describeExit(timeout: number): Promise<string> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<undefined>(resolve => {
      // setImmediate runs after the poll phase, which reports an exit that has already happened.
      timer = setTimeout(() => setImmediate(resolve, undefined), timeout)
    })
    const exit = await Promise.race([this.exited, late])
    clearTimeout(timer)
    if (exit === undefined) return 'its process is still running'
    const { code, signal } = exit
    return signal === null ? `exit code ${code}` : `killed by ${signal}`
  }
}
