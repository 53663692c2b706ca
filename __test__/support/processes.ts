/** Tests talk with other processes by lines: one JSON text each way a request. */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterEach } from 'vitest'

/** Open descriptors of this process. */
export const openFds = () => readdirSync('/proc/self/fd').length

/** What a descriptor's file holds, wherever its offset is. */
export function contentsOf(fd: number): string {
  const bytes = Buffer.alloc(256)
  return bytes.toString('utf8', 0, readSync(fd, bytes, 0, bytes.length, 0))
}

/** Octal, as in open(2): the open file description's flags. */
export const O_NONBLOCK = 0o4000

/** A file beside the tests. */
export const beside = (name: string) => fileURLToPath(new URL(`../${name}`, import.meta.url))

// biome-ignore lint/suspicious/noExplicitAny: what JSON.parse gives
type Json = any

/** A process that answers each line with a line. */
export class Peer {
  readonly child: ChildProcess
  /** Resolves with the exit code, or the signal's name, when its pipes are closed too. */
  readonly ended: Promise<number | string | null>
  readonly #lines: AsyncIterator<string>
  #errors = ''

  constructor(command: string, args: string[], options: SpawnOptions = {}) {
    const { stdio = ['pipe', 'pipe', 'pipe'], ...rest } = options
    const child = spawn(command, args, { stdio, ...rest })
    this.child = child
    if (child.stdout === null) throw new Error('a peer needs its stdout')
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    child.stderr?.on('data', chunk => {
      this.#errors += chunk
    })
    child.stdin?.on('error', () => {})
    this.ended = new Promise((resolve, reject) => {
      child.on('error', reject)
      child.on('close', (code, signal) => resolve(code ?? signal))
    })
    this.ended.catch(() => {})
    living.add(this)
  }

  /** The next line. */
  async line(): Promise<Json> {
    const { done, value } = await this.#lines.next()
    if (done) throw new Error(`the peer ended with ${await this.ended}: ${this.#errors}`)
    return JSON.parse(value)
  }

  /** Says something and gives the answer. */
  ask(request: object): Promise<Json> {
    this.say(request)
    return this.line()
  }

  say(request: object): void {
    this.child.stdin?.write(`${JSON.stringify(request)}\n`)
  }

  /** Ends it, if it has not ended; nothing of it is left then. */
  async stop(signal: NodeJS.Signals = 'SIGKILL'): Promise<number | string | null> {
    this.child.kill(signal)
    return this.ended
  }
}

const living = new Set<Peer>()

/** Python with our peer: jsoncomm by nothing but Python's own json and socket. */
export const python = (options?: SpawnOptions) =>
  new Peer('python3', ['-B', beside('support/peers/jsoncomm.py')], options)

/** Node with a channel that does what it is told, made after `setup`. */
export const node = (setup: object = {}, options?: SpawnOptions) =>
  new Peer(
    process.execPath,
    [beside('support/children/server.mjs'), JSON.stringify(setup)],
    options,
  )

const made: string[] = []

/** A new directory, removed after the test. */
export function directory(): string {
  const path = mkdtempSync(join(tmpdir(), 'fdwire-'))
  made.push(path)
  return path
}

/** Ends what a test has started, and removes what it has made. */
export function tidy(): void {
  afterEach(async () => {
    await Promise.all([...living].map(peer => peer.stop()))
    living.clear()
    for (const path of made.splice(0)) rmSync(path, { recursive: true, force: true })
  })
}
