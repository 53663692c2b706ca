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
const PEER = FROM_PEER
const { Message, Large } = RecordKind
const { Ascii, Bytes } = PayloadKind
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
 * Reads the records that native code has written, by their index.
 *
 * crates/node/src/table.rs defines and exports their layout. A turn of a channel and a chunk of a
 * `Codec` have the same layout, but each its own memory.
 */
export class TurnRecords {
  readonly #memory: RecordMemory
  readonly #payloads: Payloads
  /** The values of joined messages, and the range of their records. */
  #joined: unknown[] = NONE
  #joinedFirst = 0
  #joinedEnd = 0

  constructor(memory: RecordMemory) {
    this.#memory = memory
    this.#payloads = new Payloads(memory)
  }

  /** Begins a turn of `count` records, which native code has just written. */
  begin(count: number): void {
    this.#payloads.beginTurn(count)
    this.#joinedEnd = 0
  }

  /** Ends the turn. Values that were read stay valid. */
  end(): void {
    this.#payloads.endTurn()
    this.#joined = NONE
    this.#joinedEnd = 0
  }

  /** Returns what a record describes. */
  kind(index: number): RecordKind {
    return this.#memory.words[this.#at(index) + KIND] as RecordKind
  }

  /**
   * Fast path: returns the value of a plain message, which comes from the connected peer, without
   * descriptors, with its payload in the memory. Returns `NOT_PLAIN` for any other record. Throws
   * for a payload that cannot be decoded.
   *
   * This runs for every small message, so it reads each word once and calls few functions.
   */
  plainValue(index: number, encoding: EncodingCodec, aligned: boolean): unknown {
    const { words, first, bytes } = this.#memory
    const at = first + index * WORDS
    if (words[at + KIND] !== Message || words[at + FDS] !== 0 || words[at + NAME] !== PEER) {
      return NOT_PLAIN
    }
    if (index < this.#joinedEnd) return this.#joined[index - this.#joinedFirst]
    const detail = words[at + DETAIL] as number
    if (detail >= JOINED && this.#parseJoined(index, detail >> JOINED_SHIFT)) return this.#joined[0]
    const payload = detail & PAYLOAD_MASK
    const start = words[at + PLACE] as number
    const end = start + (words[at + LENGTH] as number)
    if (payload === Bytes) {
      if (encoding.decodeBytes !== undefined) return NOT_PLAIN
      return aligned
        ? this.#payloads.alignedBytes(start, end)
        : this.#payloads.bytes(index, start, end)
    }
    const text =
      payload === Ascii ? this.#payloads.ascii(index, start, end) : sliceUtf8(bytes, start, end)
    return encoding.decodeText === undefined ? text : encoding.decodeText(text)
  }

  /** Returns how many of the records from `first` to `end` (exclusive) are messages. */
  countMessages(first: number, end: number): number {
    let messages = 0
    for (let index = first; index < end; index++) {
      const kind = this.kind(index)
      if (kind === Message || kind === Large) messages++
    }
    return messages
  }

  /** Returns where the payload of a record begins in the memory; for a large message its number. */
  place(index: number): number {
    return this.#memory.words[this.#at(index) + PLACE] as number
  }

  /** Returns the length of the payload of a record (bytes). */
  length(index: number): number {
    return this.#memory.words[this.#at(index) + LENGTH] as number
  }

  /** Returns whether the payload of a message is ASCII, UTF-8 or bytes. */
  payloadKind(index: number): PayloadKind {
    return ((this.#memory.words[this.#at(index) + DETAIL] as number) & PAYLOAD_MASK) as PayloadKind
  }

  /** Returns why native code refused a message. */
  refusalReason(index: number): RefusalReason {
    return this.#memory.words[this.#at(index) + DETAIL] as RefusalReason
  }

  /** Returns a text payload. */
  text(index: number): string {
    const { words, bytes } = this.#memory
    const at = this.#at(index)
    const start = words[at + PLACE] as number
    const end = start + (words[at + LENGTH] as number)
    const isAscii = ((words[at + DETAIL] as number) & PAYLOAD_MASK) === Ascii
    return isAscii ? this.#payloads.ascii(index, start, end) : sliceUtf8(bytes, start, end)
  }

  /** Returns a copy of a payload. It is not aligned. */
  copy(index: number): Buffer {
    const start = this.place(index)
    return this.#payloads.bytes(index, start, start + this.length(index))
  }

  /** Returns a copy of a payload, aligned so that any typed array can view it. */
  alignedCopy(index: number): Buffer {
    const start = this.place(index)
    return this.#payloads.alignedBytes(start, start + this.length(index))
  }

  /**
   * Returns the payload without a copy. It is valid until the turn ends; user code must not get it.
   */
  view(index: number): Buffer {
    const start = this.place(index)
    return viewOf(this.#memory.bytes, start, start + this.length(index))
  }

  /**
   * Returns the value of a JSON message that native code has joined with adjacent ones into one
   * array, which is parsed at once. Returns `NOT_JOINED` for a message that must be parsed alone.
   *
   * Native code joins messages only if this gives the same values: see crates/wire/src/json.rs.
   */
  joinedValue(index: number): unknown {
    if (index < this.#joinedEnd) return this.#joined[index - this.#joinedFirst]
    const detail = this.#memory.words[this.#at(index) + DETAIL] as number
    if (detail < JOINED || !this.#parseJoined(index, detail >> JOINED_SHIFT)) return NOT_JOINED
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
      sample: kind === RecordKind.Lost ? copyOf(this.view(index)) : undefined,
    }
  }

  #at(index: number): number {
    return this.#memory.first + index * WORDS
  }

  /** Returns the name in a record: an address, or the name of a system call. */
  #name(at: number): string | Buffer | null | undefined {
    const { words, bytes } = this.#memory
    const name = words[at + NAME] as number
    if (name === PEER) return undefined
    if (name === FROM_UNNAMED) return null
    const length = (words[at + NAME_LENGTH] as number) & NAME_LENGTH_MASK
    return decodeAddress(viewOf(bytes, name, name + length))
  }

  /**
   * Parses the texts of `count` records as one array. Returns false unless it has `count` values.
   */
  #parseJoined(index: number, count: number): boolean {
    const { bytes } = this.#memory
    const last = index + count - 1
    const start = this.place(index) - 1
    const end = this.place(last) + this.length(last) + 1
    const isAscii = this.payloadKind(index) === Ascii
    const text = isAscii ? sliceAscii(bytes, start, end) : sliceUtf8(bytes, start, end)
    try {
      const values: unknown = parseJson(text)
      if (!Array.isArray(values) || values.length !== count) return false
      this.#joined = values
      this.#joinedFirst = index
      this.#joinedEnd = index + count
      return true
    } catch {
      // One of them is not JSON. The caller parses each alone, so that only that one is malformed.
      return false
    }
  }
}

/** What `plainValue` returns for a record that `MessageReader.read` must handle. */
export const NOT_PLAIN = Symbol('not plain')

/** What `joinedValue` returns for a message that must be parsed alone. */
export const NOT_JOINED = Symbol('not joined')

const NONE: never[] = []

/** The records of the current turn of this thread. Native code runs one turn at a time. */
export const turn = new TurnRecords(TURN_MEMORY)
