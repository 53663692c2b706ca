import * as addon from '#native'
import { FdwireError, systemError } from '../util/errors.js'
import { slab, table } from './memory.js'

// Bun ends the whole process when an addon asks libuv for anything.
if ('bun' in process.versions) {
  throw new FdwireError('ERR_FDWIRE_UNSUPPORTED_RUNTIME', 'fdwire needs Node: Bun has no libuv')
}

/** The functions that are called for each message: raw, since a class method costs ten times more. */
interface Hot {
  /**
   * Sends a text. Undefined: the kernel has it, or less waits than the high-water mark; above 0: the
   * number it is queued under; below: an errno.
   */
  sendText(channel: number, text: string, fds?: number, to?: string | Uint8Array): Result
  /** Sends bytes. */
  sendBytes(channel: number, bytes: ArrayBufferView, fds?: number, to?: string | Uint8Array): Result
  /** Sends each element of a JSON array; how many were taken stands in the table. */
  sendMany(channel: number, array: string, to?: string | Uint8Array): Result
  /** Sends what streams have gathered. */
  flush(): Result
  /** Closes a descriptor of ours; `channel` is the one that it came by, or -1. */
  closeFd(channel: number, fd: number): Result
  /** Gives a descriptor of ours away. */
  takeFd(channel: number, fd: number): Result
  /** Sets whether messages are read from the socket of a channel (0 or 1). */
  setReading(channel: number, reading: number): Result
  /** Writes the counters of a channel into the shared table. */
  stats(channel: number): Result
  /** Closes a channel or a listener. Writes the last counters of a channel. */
  close(channel: number): Result
}

/** Undefined where all is well, else a number that says what is not. */
type Result = number | undefined

/** What a channel of the environment's table must be able to do. */
export interface Receiver {
  /** Works off `records` records of the table; with none, what is left of the turn before. */
  onTurn(records: number): void
}

const receivers: (Receiver | undefined)[] = []

/** This thread's channels, as native code has them. */
export const environment = new addon.Environment(
  slab,
  table,
  (channel, records) => receivers[channel]?.onTurn(records),
  systemError,
)

/** The environment's hot functions. */
export const hot = environment.hot() as Hot

let flushing = false

/** Has streams send what they have gathered, by the end of this tick. */
export function flushSoon(): void {
  if (flushing) return
  flushing = true
  process.nextTick(flush)
}

function flush(): void {
  flushing = false
  hot.flush()
}

/** Open channels that keep the process alive. */
let referenced = 0

/** Registers who gets the records of a channel. */
export function register(channel: number, receiver: Receiver): void {
  receivers[channel] = receiver
}

/** Closes a channel's socket. */
export function unregister(channel: number): void {
  receivers[channel] = undefined
  hot.close(channel)
}

/** Takes a channel's socket out, open; its descriptor's number. */
export function release(channel: number): number {
  receivers[channel] = undefined
  return environment.detach(channel)
}

/** Counts the channels that keep the process alive: `by` is 1 or -1. */
export function countReferenced(by: number): void {
  const wasReferenced = referenced > 0
  referenced += by
  if (referenced > 0 !== wasReferenced) environment.setRef(referenced > 0)
}

process.on('exit', () => {
  environment.tryAll()
  // process.exit ends the main thread without the environment's own end.
  environment.unlinkAll()
})
