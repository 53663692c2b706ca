/** A recorded session of `fdwire tap`: a file with one JSON object per line. */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import type { Protocol, SocketType } from '../options/protocols.js'
import type { FdDescription } from './descriptors.js'
import { UsageError } from './errors.js'

/** The first line. */
export interface Heading {
  /** The version of the format. */
  recording: 1
  target: string
  protocol: Protocol
  type: SocketType
}

/** The party that sent a message. */
export type Side = 'client' | 'target'

/** A message. */
export interface RecordedMessage {
  /** The time since the first connection (ms). */
  time: number
  connection: number
  from: Side
  /** The message, or the chunk of a stream, in base64; `text` if the protocol delivers a string. */
  base64?: string
  text?: string
  fds: FdDescription[]
}

/** Writes a recording. Every message is in the file as soon as it has arrived. */
export class Recorder {
  readonly #fd: number

  constructor(path: string, heading: Heading) {
    this.#fd = openSync(path, 'w', 0o600)
    this.#write(heading)
  }

  add(message: Omit<RecordedMessage, 'base64' | 'text'>, value: unknown): void {
    const content =
      typeof value === 'string'
        ? { text: value }
        : { base64: Buffer.from(value as Uint8Array).toString('base64') }
    this.#write({ ...message, ...content })
  }

  close(): void {
    closeSync(this.#fd)
  }

  #write(line: object): void {
    writeSync(this.#fd, `${JSON.stringify(line)}\n`)
  }
}

/** Reads a recording. */
export function readRecording(path: string): { heading: Heading; messages: RecordedMessage[] } {
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n')
  try {
    const [heading, ...messages] = lines.map(line => JSON.parse(line))
    if (heading.recording === 1) return { heading, messages }
  } catch {
    // The error below says what the file is not.
  }
  throw new UsageError(`${path} is not a recording of fdwire tap`)
}

/** Returns the value of a recorded message. */
export function contentOf({ text, base64 }: RecordedMessage): string | Buffer {
  return text ?? Buffer.from(base64 ?? '', 'base64')
}
