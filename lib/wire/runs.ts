import { markAsUntransferable } from 'node:worker_threads'
import { JOINED, PayloadKind, RECORD_WORDS, RECORDS, RecordKind } from '#native'
import { slab, table } from '../native/environment.js'

// Place of a record's words: see crates/node/src/table.rs.
const PLACE = 1
const LENGTH = 2
const DETAIL = 7

const { Message } = RecordKind
const { Ascii, Bytes } = PayloadKind

/**
 * The longest run of texts (bytes): whoever keeps one small message keeps all of its run, as with the
 * pool of Node's own Buffers.
 */
const RUN = 8 * 1024

/** A text from this length on (bytes) is sliced alone. */
const LONG = 1024

/** Memory that Buffers are pieces of, and the longest of these (bytes): who keeps one keeps all. */
const CHUNK = 64 * 1024
const ALONE = CHUNK / 4

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
  if (end - start >= LONG) return slab.latin1Slice(start, end)
  const runEnd = endOfRun(index, start, end, Ascii, RUN)
  if (runEnd === end) return slab.latin1Slice(start, end)
  text = slab.latin1Slice(start, runEnd)
  textStart = start
  textEnd = runEnd
  return text.substring(0, end - start)
}

/** A Buffer with a copy of the bytes of record `index`, which stand there in the slab. */
export function copiedBytes(index: number, start: number, end: number): Buffer {
  if (end <= bytesEnd && start >= bytesStart) {
    return new View(memory, bytesAt + start - bytesStart, end - start)
  }
  const length = end - start
  if (length > ALONE) return Buffer.from(slab.subarray(start, end))
  if (used + length > CHUNK) renewChunk()
  const runEnd = endOfRun(index, start, end, Bytes, CHUNK - used)
  bytesStart = start
  bytesEnd = runEnd
  bytesAt = copy(start, runEnd)
  return new View(memory, bytesAt, length)
}

/** Where the run ends that begins with record `index`: messages of the same kind, one by one. */
function endOfRun(
  index: number,
  start: number,
  end: number,
  kind: PayloadKind,
  longest: number,
): number {
  let runEnd = end
  for (let next = index + 1; next < records; next++) {
    const at = RECORDS + next * RECORD_WORDS
    if (table[at] !== Message || ((table[at + DETAIL] as number) & (JOINED - 1)) !== kind) break
    const nextEnd = (table[at + PLACE] as number) + (table[at + LENGTH] as number)
    if (nextEnd - start > longest) break
    runEnd = nextEnd
  }
  return runEnd
}

/** Buffers that are given out are pieces of this: never written again, and not transferable. */
let chunk = Buffer.alloc(0)
let memory = chunk.buffer
/** Bytes of it that are given out; where there is none yet, more than there can be. */
let used = Number.POSITIVE_INFINITY

/** What `chunk.subarray` makes, in half of its time. */
const View = (Buffer as unknown as { [Symbol.species]: BufferView })[Symbol.species]
type BufferView = new (memory: ArrayBufferLike, start: number, length: number) => Buffer

/** A Buffer with a copy of bytes of the slab, at which typed arrays can begin. */
export function alignedBytes(start: number, end: number): Buffer {
  const length = end - start
  if (length > ALONE) return Buffer.from(slab.subarray(start, end))
  if (used + length > CHUNK) renewChunk()
  return new View(memory, copy(start, end), length)
}

function renewChunk(): void {
  chunk = Buffer.allocUnsafeSlow(CHUNK)
  memory = chunk.buffer
  markAsUntransferable(memory)
  used = 0
}

/** Copies bytes of the slab into the chunk, which has room for them; where they are there. */
function copy(start: number, end: number): number {
  const at = used
  slab.copy(chunk, at, start, end)
  // A multiple of eight, so that typed arrays can be laid over what begins here.
  used = (at + end - start + 7) & ~7
  return at
}
