/**
 * Gathers small messages of streams, so that one call of native code takes many of them.
 *
 * A call costs as much as copying some hundred bytes. Bytes are copied into memory that native code
 * shares, and texts are appended to one string; crates/node/src/gathered.rs frames them. Every call
 * that concerns the queue of a channel must be preceded by `queueGathered`.
 */

import { BLOCK_BYTES, GATHERED, GATHERED_LENGTH, GATHERED_WORDS, MAX_GATHERED } from '#native'
import { lengthOf, setBytes } from '../util/buffers.js'
import { systemError } from '../util/errors.js'
import { NODE_MAJOR } from '../util/node.js'
import { nextTick } from '../util/timers.js'
import { environment, hot, turnOfThread } from './environment.js'
import { block, table } from './memory.js'

/**
 * The longest text that is gathered (UTF-16 code units). A longer one is faster passed alone.
 * Measured with Node 20 and 24, where one of 64 texts is not ASCII.
 */
const MAX_TEXT = NODE_MAJOR < 22 ? 192 : 448

/** The longest message of bytes that is gathered. */
const MAX_BYTES = 4 * 1024

/** The length of all gathered texts from which native code takes them at once (code units). */
const MAX_TEXTS = 24 * 1024

// Local constants: the optimizing compiler folds them, which it does not do with imports.
const FIRST = GATHERED
const WORDS = GATHERED_WORDS
const LENGTH = GATHERED_LENGTH
const MAX_COUNT = MAX_GATHERED
const BLOCK = BLOCK_BYTES

/** The number of gathered messages. */
let count = 0
/** Those that are text, and the number of bytes of the others. */
let texts = ''
let used = 0

let isFlushScheduled = false

/** When streams last sent what they had gathered. */
export const flushes = {
  /** Counts the flushes. It stays a small integer. */
  count: 0,
  /** Whether the last one has left no stream with a queue. */
  isClean: true,
}

/**
 * Returns the length of a message that can be gathered (UTF-16 code units or bytes); 0 for one that
 * is empty, too long, or of a typed array that has no bytes.
 */
export function gatherableLength(message: string | ArrayBufferView): number {
  if (typeof message === 'string') return message.length <= MAX_TEXT ? message.length : 0
  if (!(message instanceof Uint8Array)) return 0
  const length = lengthOf(message)
  return length <= MAX_BYTES ? length : 0
}

/** Gathers a message of this `gatherableLength`. A text must be well formed. */
export function gather(channel: number, message: string | ArrayBufferView, length: number): void {
  if (count === MAX_COUNT || used + length > BLOCK || texts.length > MAX_TEXTS) queueGathered()
  const isText = typeof message === 'string'
  const at = FIRST + count * WORDS
  table[at] = channel
  table[at + 1] = length * LENGTH + (isText ? 1 : 0)
  count++
  if (isText) {
    texts += message
  } else {
    setBytes(block, message as Uint8Array, used)
    used += length
  }
}

/** Passes the gathered messages to native code, which sends them with the next flush. */
export function queueGathered(): void {
  if (count === 0) return
  check(hot.queue(count, takeTexts()))
}

/** Sends what streams have queued, at the end of this tick; in a turn, once its records are handled. */
export function flushSoon(): void {
  if (isFlushScheduled) return
  isFlushScheduled = true
  // Replies leave before the turn's promise jobs and ticks run, and cost no tick of their own.
  if (turnOfThread.isRunning) turnOfThread.onEnd = flush
  else nextTick(flush)
}

function flush(): void {
  isFlushScheduled = false
  const backlog = hot.flush(count, takeTexts())
  flushes.count = (flushes.count + 1) & 0x3fff_ffff
  flushes.isClean = backlog === undefined
  check(backlog)
}

/** Empties the block. Returns the gathered texts. */
function takeTexts(): string {
  const taken = texts
  texts = ''
  used = 0
  count = 0
  return taken
}

/** Messages are checked before they are gathered, so native code refuses none. */
function check(result: number | undefined): void {
  if (result !== undefined && result < 0) throw systemError(result, 'sendmsg')
}

process.on('exit', () => {
  queueGathered()
  environment.tryAll()
})
