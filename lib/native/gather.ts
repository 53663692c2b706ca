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
import { nextTick } from '../util/timers.js'
import { environment, hot, turnOfThread } from './environment.js'
import { block, table } from './memory.js'

/**
 * The longest text that is gathered (UTF-16 code units). A longer one is faster passed alone.
 * Measured with Node 20 and 24, where one of 64 texts is not ASCII.
 */
export const MAX_TEXT = Number.parseInt(process.versions.node, 10) < 22 ? 192 : 448

/** The longest message of bytes that is gathered. */
export const MAX_BYTES = 4 * 1024

/** The length of all gathered texts from which native code takes them at once (code units). */
const MAX_TEXTS = 24 * 1024

/** The largest number of bytes that a stream gathers. */
export const MAX_ROOM = 128 * 1024

/** Approximately what framing adds to a message (bytes). */
export const OVERHEAD = 4

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

/** Gathers a well-formed text of at most `MAX_TEXT` code units. */
export function gatherText(channel: number, text: string): void {
  if (count === MAX_COUNT || texts.length > MAX_TEXTS) queueGathered()
  note(channel, text.length * LENGTH + 1)
  texts += text
}

/** Gathers at most `MAX_BYTES` bytes. */
export function gatherBytes(channel: number, bytes: Uint8Array, length: number): void {
  if (count === MAX_COUNT || used + length > BLOCK) queueGathered()
  note(channel, length * LENGTH)
  setBytes(block, bytes, used)
  used += length
}

/** How much room the last `gatherMany` has left (bytes). */
export let roomLeft = 0

/**
 * Gathers messages from index `first` on, until one is too long or empty, or exceeds the room.
 * Returns the index after the last one. Texts must be well formed.
 */
export function gatherMany(
  channel: number,
  messages: readonly (string | ArrayBufferView)[],
  first: number,
  room: number,
): number {
  // Appending to a local variable takes less time than to one of the module.
  let text = ''
  let index = first
  for (; index < messages.length; index++) {
    const message = messages[index] as string | ArrayBufferView
    const isText = typeof message === 'string'
    if (!isText && !(message instanceof Uint8Array)) break
    const length = isText ? message.length : lengthOf(message)
    if (length > (isText ? MAX_TEXT : MAX_BYTES) || length === 0) break
    if (room < length + OVERHEAD) break
    room -= length + OVERHEAD
    if (count === MAX_COUNT || used + length > BLOCK || text.length > MAX_TEXTS) {
      texts += text
      text = ''
      queueGathered()
    }
    if (isText) {
      note(channel, length * LENGTH + 1)
      text += message
    } else {
      note(channel, length * LENGTH)
      setBytes(block, message, used)
      used += length
    }
  }
  texts += text
  roomLeft = room
  return index
}

function note(channel: number, length: number): void {
  const at = FIRST + count * WORDS
  table[at] = channel
  table[at + 1] = length
  count++
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
