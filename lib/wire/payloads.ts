import { markAsUntransferable } from 'node:worker_threads'
import { JOINED, PayloadKind, SPAN_KIND, SPAN_LENGTH, SPAN_START, SPAN_WORDS } from '#native'
import type { RecordMemory } from '../native/memory.js'
import { copyBytes, copyOf, sliceAscii, viewOf } from '../util/buffers.js'

// Local constants: the optimizing compiler folds them, which it does not do with imports.
const START = SPAN_START
const LENGTH = SPAN_LENGTH
const KIND = SPAN_KIND
const WORDS = SPAN_WORDS
const { Ascii, Bytes } = PayloadKind
const KIND_MASK = JOINED - 1

/**
 * The longest run of texts (bytes). A small text keeps its whole run alive, as a small Buffer keeps
 * Node's pool alive.
 */
const MAX_RUN = 8 * 1024

/** A text of at least this length (bytes) is sliced alone. */
const LONG_TEXT = 1024

/**
 * The size of the memory that small Buffers share, and the largest Buffer that shares it (bytes).
 */
const CHUNK = 64 * 1024
const MAX_SHARED = CHUNK / 4

/**
 * Makes strings and Buffers from the payloads of a turn's messages.
 *
 * Payloads that are adjacent in memory form a run. It makes one slice or copy for the whole run,
 * and a substring or view for each message: a substring costs an eighth of a slice of native
 * memory.
 */
export class Payloads {
  readonly #memory: RecordMemory
  /** The index after the last span that may belong to a run. */
  #spanEnd = 0
  /** The current run of ASCII texts, and its range in the memory. */
  #text = ''
  #textStart = 0
  #textEnd = 0
  /**
   * The range of the current run of bytes in the memory, and where its copy begins in the chunk.
   */
  #bytesStart = 0
  #bytesEnd = 0
  #copyStart = 0

  constructor(memory: RecordMemory) {
    this.#memory = memory
  }

  /** Begins to read plain messages, whose spans end before index `spanEnd`. */
  begin(spanEnd: number): void {
    this.#spanEnd = spanEnd
    this.end()
  }

  /** Forgets the current runs. Values that were made stay valid. */
  end(): void {
    this.#text = ''
    this.#textEnd = 0
    this.#bytesEnd = 0
  }

  /** Returns the text of a span, which must be ASCII. */
  ascii(span: number, start: number, end: number): string {
    if (end <= this.#textEnd && start >= this.#textStart) {
      return this.#text.substring(start - this.#textStart, end - this.#textStart)
    }
    const { bytes } = this.#memory
    if (end - start >= LONG_TEXT) return sliceAscii(bytes, start, end)
    const runEnd = this.#endOfRun(span, start, end, Ascii, MAX_RUN)
    if (runEnd === end) return sliceAscii(bytes, start, end)
    this.#text = sliceAscii(bytes, start, runEnd)
    this.#textStart = start
    this.#textEnd = runEnd
    return this.#text.substring(0, end - start)
  }

  /** Returns a Buffer with a copy of the bytes of a span. */
  bytes(span: number, start: number, end: number): Buffer {
    if (end <= this.#bytesEnd && start >= this.#bytesStart && chunk.length > 0) {
      return new View(chunkMemory, this.#copyStart + start - this.#bytesStart, end - start)
    }
    const length = end - start
    if (length > MAX_SHARED) return copyOf(viewOf(this.#memory.bytes, start, end))
    if (chunkUsed + length > chunk.length) renewChunk()
    const runEnd = this.#endOfRun(span, start, end, Bytes, CHUNK - chunkUsed)
    this.#bytesStart = start
    this.#bytesEnd = runEnd
    this.#copyStart = copyToChunk(this.#memory, start, runEnd)
    return new View(chunkMemory, this.#copyStart, length)
  }

  /** Returns a Buffer with a copy of these bytes, aligned so that any typed array can view it. */
  alignedBytes(start: number, end: number): Buffer {
    const length = end - start
    if (length > MAX_SHARED) return copyOf(viewOf(this.#memory.bytes, start, end))
    if (chunkUsed + length > chunk.length) renewChunk()
    return new View(chunkMemory, copyToChunk(this.#memory, start, end), length)
  }

  /** Returns where the run of payloads of one kind ends that begins with a span. */
  #endOfRun(
    span: number,
    start: number,
    end: number,
    kind: PayloadKind,
    maxLength: number,
  ): number {
    const { spans, firstSpan } = this.#memory
    const limit = firstSpan + this.#spanEnd * WORDS
    let runEnd = end
    for (let at = firstSpan + (span + 1) * WORDS; at < limit; at += WORDS) {
      if (((spans[at + KIND] as number) & KIND_MASK) !== kind) break
      const nextEnd = (spans[at + START] as number) + (spans[at + LENGTH] as number)
      if (nextEnd - start > maxLength) break
      runEnd = nextEnd
    }
    return runEnd
  }
}

/**
 * The memory of small Buffers. Its bytes are never overwritten, and it cannot be posted to a thread.
 *
 * A program can still detach it (`buffer.transfer()`). Its length is 0 then.
 */
let chunk = Buffer.alloc(0)
let chunkMemory = chunk.buffer
/** Bytes of the chunk that are in use. The first Buffer makes the first chunk. */
let chunkUsed = Number.POSITIVE_INFINITY

/** The constructor behind `chunk.subarray`. Calling it directly takes half the time. */
const View = (Buffer as unknown as { [Symbol.species]: BufferView })[Symbol.species]
type BufferView = new (memory: ArrayBufferLike, start: number, length: number) => Buffer

function renewChunk(): void {
  chunk = Buffer.allocUnsafeSlow(CHUNK)
  chunkMemory = chunk.buffer
  markAsUntransferable(chunkMemory)
  chunkUsed = 0
}

/** Copies bytes into the chunk, which must have room for them. Returns where the copy begins. */
function copyToChunk({ bytes }: RecordMemory, start: number, end: number): number {
  const at = chunkUsed
  copyBytes(bytes, chunk, at, start, end)
  // The next copy begins at a multiple of eight, as typed arrays require.
  chunkUsed = (at + end - start + 7) & ~7
  return at
}
