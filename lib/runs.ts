import { markAsUntransferable } from 'node:worker_threads'
import { JOINED, PayloadKind, RECORD_WORDS, RECORDS, RecordKind } from '#native'
import { slab, table } from './native.js'

// Place of a record's words: see crates/node/src/table.rs.
const PLACE = 1
const LENGTH = 2
const DETAIL = 7

const { Message } = RecordKind
const { Ascii, Bytes } = PayloadKind

/**
 * The longest run (bytes): whoever keeps one small message keeps all of its run, as with the pool of
 * Node's own Buffers.
 */
const RUN = 8 * 1024

/** A message from this length on (bytes) is sliced alone. */
const ALONE = 1024

let records = 0

/** Texts below 0x80 that stand behind each other in the slab, with what frames them. */
let text = ''
let textStart = 0
let textEnd = 0

/** A copy of messages that stand behind each other in the slab, with what frames them. */
let bytesStart = 0
let bytesEnd = 0
/** Where the copy begins in the chunk. */
let bytesAt = 0

/** A turn of so many records begins, and the slab holds something new. */
export function beginRuns(count: number): void {
  records = count
  textEnd = 0
  bytesEnd = 0
}

/** The turn is over: what was cut from a run lives on by itself. */
export function endRuns(): void {
  text = ''
  textEnd = 0
}

/** The text below 0x80 of record `index`, which stands there in the slab. */
export function asciiText(index: number, start: number, end: number): string {
  // One slice for all and a substring for each costs an eighth of a slice for each.
  if (end <= textEnd && start >= textStart)
    return text.substring(start - textStart, end - textStart)
  if (end - start >= ALONE) return slab.latin1Slice(start, end)
  const runEnd = endOfRun(index, start, end, Ascii)
  if (runEnd === end) return slab.latin1Slice(start, end)
  text = slab.latin1Slice(start, runEnd)
  textStart = start
  textEnd = runEnd
  return text.substring(0, end - start)
}

/** A Buffer with a copy of the bytes of record `index`, which stand there in the slab. */
export function copiedBytes(index: number, start: number, end: number): Buffer {
  if (end <= bytesEnd && start >= bytesStart) {
    const at = bytesAt + start - bytesStart
    return chunk.subarray(at, at + end - start)
  }
  if (end - start >= ALONE) return alignedBytes(start, end)
  const runEnd = endOfRun(index, start, end, Bytes)
  const at = room(runEnd - start)
  slab.copy(chunk, at, start, runEnd)
  bytesStart = start
  bytesEnd = runEnd
  bytesAt = at
  return chunk.subarray(at, at + end - start)
}

/** Where the run ends that begins with record `index`: messages of the same kind, one by one. */
function endOfRun(index: number, start: number, end: number, kind: PayloadKind): number {
  let runEnd = end
  for (let next = index + 1; next < records; next++) {
    const at = RECORDS + next * RECORD_WORDS
    if (table[at] !== Message || ((table[at + DETAIL] as number) & (JOINED - 1)) !== kind) break
    const nextEnd = (table[at + PLACE] as number) + (table[at + LENGTH] as number)
    if (nextEnd - start > RUN) break
    runEnd = nextEnd
  }
  return runEnd
}

/** Buffers that are given out are pieces of this: never written again, and not transferable. */
let chunk = Buffer.alloc(0)
let used = 0
const CHUNK = 64 * 1024

/** A Buffer with a copy of bytes of the slab, at which typed arrays can begin. */
export function alignedBytes(start: number, end: number): Buffer {
  const length = end - start
  if (length > CHUNK / 4) return Buffer.from(slab.subarray(start, end))
  const at = room(length)
  slab.copy(chunk, at, start, end)
  return chunk.subarray(at, at + length)
}

/** The place of so many free bytes of the chunk, which are taken then. */
function room(length: number): number {
  if (used + length > chunk.length) {
    chunk = Buffer.allocUnsafeSlow(CHUNK)
    markAsUntransferable(chunk.buffer)
    used = 0
  }
  const at = used
  // A multiple of eight, so that typed arrays can be laid over what begins here.
  used = (at + length + 7) & ~7
  return at
}
