import {
  CREDENTIALS,
  FDS_IN,
  FROM_PEER,
  FROM_SAME,
  FROM_UNNAMED,
  JOINED,
  PayloadKind,
  RECORD_DETAIL,
  RECORD_FDS,
  RECORD_FIRST_FD,
  RECORD_KIND,
  RECORD_LENGTH,
  RECORD_NAME,
  RECORD_NAME_LENGTH,
  RECORD_PLACE,
  RECORD_WORDS,
  RecordKind,
  type RefusalReason,
  SPAN_KIND,
  SPAN_LENGTH,
  SPAN_START,
  SPAN_WORDS,
} from '#native'
import { type RecordMemory, TURN_MEMORY } from '../native/memory.js'
import { type Address, decodeAddress } from '../options/address.js'
import type { Credentials } from '../options/types.js'
import {
  copyOf,
  parseJson,
  readInt32,
  readUint32,
  sliceAscii,
  sliceUtf8,
  viewOf,
} from '../util/buffers.js'
import type { EncodingCodec } from './encodings/index.js'
import { Payloads } from './payloads.js'

// Local constants: the optimizing compiler folds them, which it does not do with imports.
const KIND = RECORD_KIND
const PLACE = RECORD_PLACE
const LENGTH = RECORD_LENGTH
const FIRST_FD = RECORD_FIRST_FD
const FDS = RECORD_FDS
const NAME = RECORD_NAME
const NAME_LENGTH = RECORD_NAME_LENGTH
const DETAIL = RECORD_DETAIL
const WORDS = RECORD_WORDS
const { Messages, Message, Large } = RecordKind
const { Ascii, Bytes } = PayloadKind
const START = SPAN_START
const SPAN_LEN = SPAN_LENGTH
const PAYLOAD = SPAN_KIND
const SPAN_SIZE = SPAN_WORDS
const PAYLOAD_MASK = JOINED - 1
const JOINED_SHIFT = Math.log2(JOINED)
const NAME_LENGTH_MASK = CREDENTIALS - 1
const CREDENTIALS_SHIFT = Math.log2(CREDENTIALS)

/** An event of a channel that is not a message. */
export interface ChannelEvent {
  kind: RecordKind
  /** The destination; of a failure: the name of the system call. */
  name: Address | undefined
  /**
   * The errno, 0 if a message expired; or the index of an accepted channel; or the missing bytes.
   */
  place: number
  /** The low 31 bits of the number of a queued message; or why a stream cannot be decoded. */
  detail: number
  /** The first bytes of input that cannot be decoded. */
  sample: Buffer | undefined
}

/** What `sender` returns for a message from the same sender as the previous one. */
export const SAME_SENDER = Symbol('same sender')

/**
 * Reads the records and spans that native code has written, by their index.
 *
 * A record describes an event, a message, or several plain messages. A span is the payload of a
 * message. crates/node/src/table.rs defines and exports their layout. A turn of a channel and a
 * chunk of a `Codec` have the same layout, but each its own memory.
 */
export class TurnRecords {
  readonly #memory: RecordMemory
  readonly #payloads: Payloads
  /** The values of joined messages, and the range of their spans. */
  #joined: unknown[] = NONE
  #joinedFirst = 0
  #joinedEnd = 0

  constructor(memory: RecordMemory) {
    this.#memory = memory
    this.#payloads = new Payloads(memory)
  }

  /** Begins a turn. Native code has overwritten the memory for it. */
  begin(): void {
    this.#payloads.begin(0)
    this.#joinedEnd = 0
  }

  /** Ends the turn. Values that were read stay valid. */
  end(): void {
    this.#payloads.end()
    this.#joined = NONE
    this.#joinedEnd = 0
  }

  /** Returns what a record describes. */
  kind(index: number): RecordKind {
    return this.#memory.words[this.#at(index) + KIND] as RecordKind
  }

  /** Begins to read plain messages, whose spans end before index `spanEnd`. */
  beginPlain(spanEnd: number): void {
    this.#payloads.begin(spanEnd)
  }

  /**
   * Fast path: returns the value of a plain message. Returns `NOT_PLAIN` if `MessageReader.readSpan`
   * must read it. Throws for a payload that cannot be decoded.
   *
   * This runs for every small message, so it reads each word once and calls few functions.
   */
  plainValue(span: number, encoding: EncodingCodec, aligned: boolean): unknown {
    if (span < this.#joinedEnd) return this.#joined[span - this.#joinedFirst]
    const { spans, firstSpan, bytes } = this.#memory
    const at = firstSpan + span * SPAN_SIZE
    const kind = spans[at + PAYLOAD] as number
    if (kind >= JOINED && this.#parseJoined(span, kind >> JOINED_SHIFT)) return this.#joined[0]
    const payload = kind & PAYLOAD_MASK
    const start = spans[at + START] as number
    const end = start + (spans[at + SPAN_LEN] as number)
    if (payload === Bytes) {
      if (encoding.decodeBytes !== undefined) return NOT_PLAIN
      return aligned
        ? this.#payloads.alignedBytes(start, end)
        : this.#payloads.bytes(span, start, end)
    }
    const text =
      payload === Ascii ? this.#payloads.ascii(span, start, end) : sliceUtf8(bytes, start, end)
    return encoding.decodeText === undefined ? text : encoding.decodeText(text)
  }

  /** Returns how many messages the records from `first` to `end` (exclusive) describe. */
  countMessages(first: number, end: number): number {
    let messages = 0
    for (let index = first; index < end; index++) {
      const kind = this.kind(index)
      if (kind === Messages) messages += this.length(index)
      else if (kind === Message || kind === Large) messages++
    }
    return messages
  }

  /** Returns the index of the (first) span of messages; for a large message its number. */
  place(index: number): number {
    return this.#memory.words[this.#at(index) + PLACE] as number
  }

  /** Returns the number of spans of messages; for a large message its length (bytes). */
  length(index: number): number {
    return this.#memory.words[this.#at(index) + LENGTH] as number
  }

  /** Returns whether the payload of a large message is ASCII, UTF-8 or bytes. */
  largeKind(index: number): PayloadKind {
    return this.#memory.words[this.#at(index) + DETAIL] as PayloadKind
  }

  /** Returns the length of the payload of a span (bytes). */
  spanLength(span: number): number {
    return this.#memory.spans[this.#spanAt(span) + SPAN_LEN] as number
  }

  /** Returns whether the payload of a span is ASCII, UTF-8 or bytes. */
  payloadKind(span: number): PayloadKind {
    return ((this.#memory.spans[this.#spanAt(span) + PAYLOAD] as number) &
      PAYLOAD_MASK) as PayloadKind
  }

  /** Returns why native code refused a message. */
  refusalReason(index: number): RefusalReason {
    return this.#memory.words[this.#at(index) + DETAIL] as RefusalReason
  }

  /** Returns the first bytes of refused or undecodable input. They are valid until the turn ends. */
  sample(index: number): Buffer {
    const place = this.place(index)
    return viewOf(this.#memory.bytes, place, place + this.length(index))
  }

  /** Returns a text payload. */
  text(span: number): string {
    const start = this.#start(span)
    const end = start + this.spanLength(span)
    return this.payloadKind(span) === Ascii
      ? this.#payloads.ascii(span, start, end)
      : sliceUtf8(this.#memory.bytes, start, end)
  }

  /** Returns a copy of a payload. It is not aligned. */
  copy(span: number): Buffer {
    const start = this.#start(span)
    return this.#payloads.bytes(span, start, start + this.spanLength(span))
  }

  /** Returns a copy of a payload, aligned so that any typed array can view it. */
  alignedCopy(span: number): Buffer {
    const start = this.#start(span)
    return this.#payloads.alignedBytes(start, start + this.spanLength(span))
  }

  /**
   * Returns the payload without a copy. It is valid until the turn ends; user code must not get it.
   */
  view(span: number): Buffer {
    const start = this.#start(span)
    return viewOf(this.#memory.bytes, start, start + this.spanLength(span))
  }

  /**
   * Returns the value of a JSON message that native code has joined with adjacent ones into one
   * array, which is parsed at once. Returns `NOT_JOINED` for a message that must be parsed alone.
   *
   * Native code joins messages only if this gives the same values: see crates/wire/src/json.rs.
   */
  joinedValue(span: number): unknown {
    if (span < this.#joinedEnd) return this.#joined[span - this.#joinedFirst]
    const kind = this.#memory.spans[this.#spanAt(span) + PAYLOAD] as number
    if (kind < JOINED || !this.#parseJoined(span, kind >> JOINED_SHIFT)) return NOT_JOINED
    return this.#joined[0]
  }

  /** Returns the numbers of the descriptors of a message. */
  fds(index: number): number[] {
    const { words } = this.#memory
    const at = this.#at(index)
    const count = words[at + FDS] as number
    if (count === 0) return NONE
    const first = FDS_IN + (words[at + FIRST_FD] as number)
    const numbers: number[] = []
    for (let i = 0; i < count; i++) numbers.push(words[first + i] as number)
    return numbers
  }

  /** Returns the sender's address, as `From`, or SAME_SENDER. */
  sender(index: number): string | Buffer | null | undefined | typeof SAME_SENDER {
    const at = this.#at(index)
    return this.#memory.words[at + NAME] === FROM_SAME ? SAME_SENDER : this.#name(at)
  }

  /** Returns the sender's credentials, on a channel with the option `credentials`. */
  credentials(index: number): Credentials {
    const { words, bytes } = this.#memory
    const place = (words[this.#at(index) + NAME_LENGTH] as number) >> CREDENTIALS_SHIFT
    return {
      pid: readInt32(bytes, place),
      uid: readUint32(bytes, place + 4),
      gid: readUint32(bytes, place + 8),
    }
  }

  /** Returns the event of a record that is not a message. */
  event(index: number): ChannelEvent {
    const { words } = this.#memory
    const at = this.#at(index)
    const kind = words[at + KIND] as RecordKind
    return {
      kind,
      name: this.#name(at) ?? undefined,
      place: words[at + PLACE] as number,
      detail: words[at + DETAIL] as number,
      sample: kind === RecordKind.Lost ? copyOf(this.sample(index)) : undefined,
    }
  }

  #at(index: number): number {
    return this.#memory.first + index * WORDS
  }

  #spanAt(span: number): number {
    return this.#memory.firstSpan + span * SPAN_SIZE
  }

  /** Returns where the payload of a span begins in the memory. */
  #start(span: number): number {
    return this.#memory.spans[this.#spanAt(span) + START] as number
  }

  /** Returns the name in a record: an address, or the name of a system call. */
  #name(at: number): string | Buffer | null | undefined {
    const { words, bytes } = this.#memory
    const name = words[at + NAME] as number
    if (name === FROM_PEER) return undefined
    if (name === FROM_UNNAMED) return null
    const length = (words[at + NAME_LENGTH] as number) & NAME_LENGTH_MASK
    return decodeAddress(viewOf(bytes, name, name + length))
  }

  /**
   * Parses the texts of `count` spans as one array. Returns false unless it has `count` values.
   */
  #parseJoined(span: number, count: number): boolean {
    const { bytes } = this.#memory
    const last = span + count - 1
    const start = this.#start(span) - 1
    const end = this.#start(last) + this.spanLength(last) + 1
    const isAscii = this.payloadKind(span) === Ascii
    const text = isAscii ? sliceAscii(bytes, start, end) : sliceUtf8(bytes, start, end)
    try {
      const values: unknown = parseJson(text)
      if (!Array.isArray(values) || values.length !== count) return false
      this.#joined = values
      this.#joinedFirst = span
      this.#joinedEnd = span + count
      return true
    } catch {
      // One of them is not JSON. The caller parses each alone, so that only that one is malformed.
      return false
    }
  }
}

/** What `plainValue` returns for a message that `MessageReader.readSpan` must read. */
export const NOT_PLAIN = Symbol('not plain')

/** What `joinedValue` returns for a message that must be parsed alone. */
export const NOT_JOINED = Symbol('not joined')

const NONE: never[] = []

/** The records of the current turn of this thread. Native code runs one turn at a time. */
export const turn = new TurnRecords(TURN_MEMORY)
