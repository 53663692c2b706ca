/** Descriptors: what a received one is, and those that a command sends. */
import { execFileSync, spawn } from 'node:child_process'
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readFileSync,
  readlinkSync,
  rmSync,
} from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FdSource } from '../fds/borrow.js'
import type { FdSet } from '../fds/fdset.js'
import type { Arguments } from './arguments.js'
import { UsageError } from './errors.js'

/** What is known about a received descriptor. */
export interface FdDescription {
  kind: string
  /** What it refers to, as /proc shows it: a path, `pipe:[123]`. */
  target: string
  /** How it is open. */
  access: 'read' | 'write' | 'read-write'
}

/** Describes the descriptors of a set, or the first ones of them. The set keeps them. */
export function describeFds(fds: FdSet, most = fds.length): FdDescription[] {
  return Array.from({ length: Math.min(fds.length, most) }, (_, index) => {
    const fd = fds.get(index)
    const info = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')
    const flags = Number.parseInt(/flags:\s*(\d+)/.exec(info)?.[1] ?? '0', 8)
    const access = (['read', 'write', 'read-write'] as const)[flags & 3] ?? 'read'
    return { kind: fds.kind(index), target: readlinkSync(`/proc/self/fd/${fd}`), access }
  })
}

/** Returns the line that shows a descriptor. */
export function formatFd({ kind, target, access }: FdDescription, index: number): string {
  return `fd ${index}: ${kind} ${target} (${access})`
}

/** The descriptors that the options of a command name, in their order. */
export class FdsToSend {
  readonly fds: FdSource[] = []
  readonly #opened: number[] = []
  readonly #servers: Server[] = []

  /** Opens them. Throws if one of them cannot be opened. */
  static async open(args: Arguments): Promise<FdsToSend> {
    const result = new FdsToSend()
    for (const { name, value } of args.ordered) {
      if (name === 'fd') result.fds.push(inherited(value))
      else if (name === 'open') result.#add(openSync(value, 'r'))
      else if (name === 'pipe') result.#add(openPipe(value))
      else if (name === 'listen-tcp') await result.#listen(value)
    }
    return result
  }

  #add(fd: number): void {
    this.#opened.push(fd)
    this.fds.push(fd)
  }

  async #listen(value: string): Promise<void> {
    if (!/^\d{1,5}$/.test(value)) throw new UsageError(`--listen-tcp needs a port, not '${value}'`)
    const server = createServer()
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(Number(value), '127.0.0.1', resolve)
    })
    this.#servers.push(server)
    this.fds.push(server)
  }

  /** Closes them here. Whoever has received them keeps them. */
  close(): void {
    for (const fd of this.#opened.splice(0)) closeSync(fd)
    for (const server of this.#servers.splice(0)) server.close()
  }
}

function inherited(value: string): number {
  if (/^\d{1,9}$/.test(value)) return Number(value)
  throw new UsageError(`--fd needs the number of a descriptor, not '${value}'`)
}

/** Starts a shell command and returns the read end of a pipe to which it writes. */
function openPipe(command: string): number {
  // Node cannot make a pipe, but a FIFO whose name is removed is one.
  const folder = mkdtempSync(join(tmpdir(), 'fdwire-pipe-'))
  const path = join(folder, 'pipe')
  try {
    execFileSync('mkfifo', [path])
    const first = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const writeEnd = openSync(path, 'w')
    // The receiver gets an end that blocks, as every pipe does that a shell makes.
    const readEnd = openSync(path, 'r')
    closeSync(first)
    spawn('sh', ['-c', command], { stdio: ['ignore', writeEnd, 'inherit'] }).unref()
    closeSync(writeEnd)
    return readEnd
  } finally {
    rmSync(folder, { recursive: true })
  }
}
