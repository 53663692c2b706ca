/** Servers as processes of their own, under clients that mean no good. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { expect, onTestFinished } from 'vitest'
import { ATTACKS, type Target } from './hostile-clients.js'
import { testPath } from './processes.js'

/** A program that serves, until the end of the test. Its memory and descriptors can be asked for. */
export class AttackedServer {
  readonly child: ChildProcess
  /** What the server has written to stderr. */
  errors = ''
  readonly #output: AsyncIterator<string>
  readonly #ended: Promise<string>

  private constructor(args: string[], options: SpawnOptions) {
    const report = ['--expose-gc', '--import', testPath('support/children/report-memory.mjs')]
    const stdio = options.stdio ?? ['pipe', 'pipe', 'pipe']
    this.child = spawn(process.execPath, [...report, ...args], { ...options, stdio })
    const { stdout, stderr } = this.child
    if (stdout === null) throw new Error('A server needs its stdout piped')
    stderr?.on('data', chunk => {
      this.errors += chunk
    })
    this.#output = createInterface({ input: stdout })[Symbol.asyncIterator]()
    this.#ended = new Promise(resolve => {
      this.child.on('close', (code, signal) => resolve(`${code ?? signal}: ${this.errors}`))
    })
  }

  /** Starts a program, and waits until it prints a line that matches `ready`. */
  static async start(args: string[], ready: RegExp, options: SpawnOptions = {}) {
    const server = new AttackedServer(args, options)
    onTestFinished(() => server.stop())
    await server.line(ready)
    return server
  }

  /** Returns the next line that matches a pattern. Other lines are dropped. */
  async line(pattern: RegExp): Promise<string> {
    for (;;) {
      const { done, value } = await this.#output.next()
      if (done) throw new Error(`The server has ended: ${await this.#ended}`)
      if (pattern.test(value)) return value
    }
  }

  fds(): number {
    return readdirSync(`/proc/${this.child.pid}/fd`).length
  }

  /** What its descriptors are, for messages. */
  describeFds(): string {
    const folder = `/proc/${this.child.pid}/fd`
    return readdirSync(folder)
      .map(fd => `${fd} ${readlinkSync(`${folder}/${fd}`)}`)
      .join('\n')
  }

  /** The memory of its JavaScript (bytes). */
  async memory(): Promise<number> {
    this.child.stdin?.write('\n')
    return Number((await this.line(/^memory \d+$/)).slice('memory '.length))
  }

  /** The memory of the process (KiB). */
  rss(): number {
    const status = readFileSync(`/proc/${this.child.pid}/status`, 'utf8')
    return Number(/VmRSS:\s*(\d+)/.exec(status)?.[1])
  }

  async stop(): Promise<void> {
    this.child.kill('SIGKILL')
    await this.#ended
  }
}

/**
 * Runs every attack several times: the server must live, serve others during each (`isServed`
 * throws if it does not), and have as many descriptors and as much memory as before.
 */
export async function expectUnharmed(
  server: AttackedServer,
  target: Target,
  isServed: () => Promise<unknown>,
): Promise<void> {
  const round = async () => {
    for (const [name, attack] of Object.entries(ATTACKS)) {
      const attacker = await attack(target).catch(error => {
        throw new Error(`${name} has failed`, { cause: error })
      })
      await isServed()
      await attacker?.stop()
    }
    await isServed()
  }
  await round()
  await round()
  const before = {
    memory: await server.memory(),
    fds: server.fds(),
    rss: server.rss(),
    open: server.describeFds(),
  }
  for (let i = 0; i < 4; i++) await round()
  const grown = () => `before:\n${before.open}\nnow:\n${server.describeFds()}`
  // The server may still be busy with what the last attackers have sent.
  const soon = { timeout: 20_000 }
  await expect.poll(() => (server.fds() <= before.fds ? '' : grown()), soon).toBe('')
  await expect.poll(() => server.memory(), soon).toBeLessThan(before.memory + 4 * 1024 * 1024)
  await expect.poll(() => server.rss(), soon).toBeLessThan(before.rss + 64 * 1024)
  expect(server.errors).not.toMatch(/Unhandled|Uncaught|MaxListeners/i)
}
