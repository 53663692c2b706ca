/** Peers in other processes, controlled over stdio: one line of JSON per request and response. */
import { type ChildProcess, execFile, type SpawnOptions, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, readSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, expect, vi } from 'vitest'

/** Returns the number of open descriptors of this process. */
export const countOpenFds = () => readdirSync('/proc/self/fd').length

/**
 * Waits until this process has no more open descriptors than earlier: some are closed in a thread,
 * and those of the test before may have been among them.
 */
export const waitForOpenFds = (earlier: number) =>
  vi.waitFor(() => expect(countOpenFds()).toBeLessThanOrEqual(earlier), 20_000)

/** Reads a descriptor's file from its start, without moving the offset. */
export function readContents(fd: number): string {
  const bytes = Buffer.alloc(256)
  return bytes.toString('utf8', 0, readSync(fd, bytes, 0, bytes.length, 0))
}

/** The flag of the open file description, octal as in open(2). */
export const O_NONBLOCK = 0o4000

/** Returns the flags of a descriptor's open file description. */
export function flagsOf(fd: number): number {
  const info = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')
  return Number.parseInt(/flags:\s*(\d+)/.exec(info)?.[1] as string, 8)
}

/** Resolves a path below `__test__`. */
export const testPath = (name: string) => fileURLToPath(new URL(`../${name}`, import.meta.url))

// biome-ignore lint/suspicious/noExplicitAny: what JSON.parse gives
type Json = any

/** A process that responds to each line of JSON with one line of JSON. */
export class Peer {
  readonly child: ChildProcess
  /** Resolves with the exit code or the signal's name once the stdio pipes are closed too. */
  readonly exited: Promise<number | string | null>
  readonly #lines: AsyncIterator<string>
  #errors = ''

  constructor(command: string, args: string[], options: SpawnOptions = {}) {
    const { stdio = ['pipe', 'pipe', 'pipe'], ...rest } = options
    const child = spawn(command, args, { stdio, ...rest })
    this.child = child
    if (child.stdout === null) throw new Error('A peer needs its stdout piped')
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    child.stderr?.on('data', chunk => {
      this.#errors += chunk
    })
    child.stdin?.on('error', () => {})
    this.exited = new Promise((resolve, reject) => {
      child.on('error', reject)
      child.on('close', (code, signal) => resolve(code ?? signal))
    })
    this.exited.catch(() => {})
    running.add(this)
  }

  /** Returns the next line, decoded. */
  async receive(): Promise<Json> {
    const { done, value } = await this.#lines.next()
    if (done) throw new Error(`The peer exited with ${await this.exited}: ${this.#errors}`)
    return JSON.parse(value)
  }

  /** Sends a request and returns the response. */
  request(request: object): Promise<Json> {
    this.send(request)
    return this.receive()
  }

  send(request: object): void {
    this.child.stdin?.write(`${JSON.stringify(request)}\n`)
  }

  /** Kills the process if it still runs, and resolves when it has exited. */
  async stop(signal: NodeJS.Signals = 'SIGKILL'): Promise<number | string | null> {
    this.child.kill(signal)
    return this.exited
  }
}

const running = new Set<Peer>()

/** Starts a jsoncomm peer in Python that uses only the standard library's json and socket. */
export const pythonPeer = (options?: SpawnOptions) =>
  new Peer('python3', ['-B', testPath('support/peers/jsoncomm.py')], options)

/** Starts a Node process that makes a channel as `setup` says and runs the calls it receives. */
export const nodePeer = (setup: object = {}, options?: SpawnOptions) =>
  new Peer(
    process.execPath,
    [testPath('support/children/server.mjs'), JSON.stringify(setup)],
    options,
  )

/** Starts a Node process that runs a case of `children/streams.mjs` with JSON arguments. */
export const streamsPeer = (name: string, ...args: unknown[]) =>
  new Peer(process.execPath, [
    testPath('support/children/streams.mjs'),
    name,
    ...args.map(arg => JSON.stringify(arg)),
  ])

/** Runs a case of `children/closing-and-exit.mjs`; returns its output and exit code. */
export async function runClosingAndExit(
  name: string,
): Promise<{ printed: unknown[]; code: number; stderr: string }> {
  const file = testPath('support/children/closing-and-exit.mjs')
  const run = promisify(execFile)(process.execPath, [file, name], { timeout: 20_000 })
  const { stdout, stderr, code } = await run.then(
    output => ({ ...output, code: 0 }),
    error => error,
  )
  const lines = String(stdout).split('\n').filter(Boolean)
  return { printed: lines.map(line => JSON.parse(line)), code, stderr }
}

const directories: string[] = []

/** Creates a directory that is removed after the test. */
export function temporaryDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), 'fdwire-'))
  directories.push(path)
  return path
}

/** Stops the peers and removes the directories of each test after it. */
export function cleanUpAfterEach(): void {
  afterEach(async () => {
    await Promise.all([...running].map(peer => peer.stop()))
    running.clear()
    for (const path of directories.splice(0)) rmSync(path, { recursive: true, force: true })
  })
}
