import { markAsUntransferable } from 'node:worker_threads'
import {
  FDS_IN,
  FROM_PEER,
  FROM_SAME,
  FROM_UNNAMED,
  JOINED_ASCII,
  JOINED_END,
  PayloadKind,
  RECORD_WORDS,
  RECORDS,
  RecordKind,
  RefusalReason,
} from '#native'
import { type Address, decodeAddress } from './address.js'
import { type ErrorCode, FdwireError } from './errors.js'
import { adoptReceived, EMPTY_FD_SET, type FdOwner, type FdSet } from './fdset.js'
import { type From, type Item, isMessage } from './message.js'
import { environment, type Sliceable, slab, table } from './native.js'

// Place of a record's words: see crates/node/src/table.rs.
const PLACE = 1
const LENGTH = 2
const FIRST_FD = 3
const FDS = 4
const NAME = 5
const NAME_LENGTH = 6
const DETAIL = 7

const { Message, Large } = RecordKind
const { Ascii, Bytes } = PayloadKind

/** Why native code refused a message, by its number. */
const REFUSALS: Record<RefusalReason, { code: ErrorCode; message: string }> = {
  [RefusalReason.Empty]: { code: 'ERR_FDWIRE_EMPTY_MESSAGE', message: 'The message is empty' },
  [RefusalReason.NotUtf8]: { code: 'ERR_FDWIRE_NOT_UTF8', message: 'The message is not UTF-8' },
  [RefusalReason.TooLarge]: {
    code: 'ERR_FDWIRE_MESSAGE_TOO_LARGE',
    message: 'The message has more bytes than maxMessage allows',
  },
  [RefusalReason.TooManyFds]: {
    code: 'ERR_FDWIRE_TOO_MANY_FDS',
    message: 'The message has more descriptors than maxFds allows',
  },
  [RefusalReason.FdsTruncated]: {
    code: 'ERR_FDWIRE_FDS_TRUNCATED',
    message: 'The kernel could not install all descriptors of the message (RLIMIT_NOFILE)',
  },
}

/** Texts of one turn, parsed at once, by the number of their record; native says where it is exact. */
let joined: unknown[] | undefined

/** Prepares to read the records of a turn, of which there are `count`. */
export function beginTurn(count: number): void {
  const end = table[JOINED_END] as number
  if (end === 0) return
  const text = table[JOINED_ASCII] === 1 ? slab.latin1Slice(0, end) : slab.utf8Slice(0, end)
  try {
    const values: unknown = JSON.parse(text)
    if (Array.isArray(values) && values.length === count) joined = values
  } catch {
    // One of them is no JSON: each is parsed alone then, so that this one alone is reported.
  }
}

/** Lets go of what was read, which is the messages' now. */
export function endTurn(): void {
  joined = undefined
}

/** What a record that is no message tells. */
export interface Notice {
  kind: RecordKind
  /** A destination; of a failure, the system call's name. */
  name: Address | undefined
  /** 0 where a message expired. */
  errno: number
  /** The low 31 bits of a queued message's number. */
  seq: number
}

/** Reads record `index`, which is no message. */
export function readNotice(index: number): Notice {
  const at = recordAt(index)
  return {
    kind: table[at] as RecordKind,
    name: nameAt(at) ?? undefined,
    errno: table[at + PLACE] as number,
    seq: table[at + DETAIL] as number,
  }
}

function recordAt(index: number): number {
  return RECORDS + index * RECORD_WORDS
}

/** The text in the place of a record's name. */
function nameAt(at: number): string | Buffer | null | undefined {
  const name = table[at + NAME] as number
  if (name === FROM_PEER) return undefined
  if (name === FROM_UNNAMED) return null
  return decodeAddress(slab.subarray(name, name + (table[at + NAME_LENGTH] as number)))
}

/** Messages that only JavaScript found to be malformed, their bytes and descriptors. */
export interface Refused {
  messages: number
  bytes: number
  fds: number
}

/** Makes the messages of one channel from records. */
export class Reader {
  /** What native code has counted as received, and is not. */
  readonly refused: Refused = { messages: 0, bytes: 0, fds: 0 }
  readonly #owner: FdOwner
  #from: From

  constructor(owner: FdOwner) {
    this.#owner = owner
  }

  /** The message of record `index`, or undefined where it tells of something else. */
  read(index: number): Item | undefined {
    const at = recordAt(index)
    const kind = table[at]
    if (kind === Message || kind === Large) {
      const fds = this.#fds(at)
      const from = this.#sender(at)
      if (joined !== undefined) return { value: joined[index], fds, from }
      const count = fds.length
      const item = kind === Message ? fromSlab(at, fds, from) : fromLarge(at, fds, from)
      if (!isMessage(item)) this.#refuse(at, count)
      return item
    }
    if (kind !== RecordKind.Refused) return undefined
    const { code, message } = REFUSALS[table[at + DETAIL] as RefusalReason]
    const place = table[at + PLACE] as number
    const sample = slab.subarray(place, place + (table[at + LENGTH] as number))
    return { error: new FdwireError(code, message, { sample }), from: this.#sender(at) }
  }

  #refuse(at: number, fds: number): void {
    this.refused.messages++
    this.refused.bytes += table[at + LENGTH] as number
    this.refused.fds += fds
  }

  #fds(at: number): FdSet {
    const count = table[at + FDS] as number
    if (count === 0) return EMPTY_FD_SET
    const first = FDS_IN + (table[at + FIRST_FD] as number)
    const numbers: number[] = []
    for (let i = 0; i < count; i++) numbers.push(table[first + i] as number)
    return adoptReceived(numbers, this.#owner)
  }

  #sender(at: number): From {
    if (table[at + NAME] !== FROM_SAME) {
      // A sender without a name between two with one is not what SAME refers to.
      const from = nameAt(at)
      if (from === undefined || from === null) return from
      this.#from = from
    }
    // A Buffer is given to several messages, and each may do with its own what it likes.
    return typeof this.#from === 'string' ? this.#from : Buffer.from(this.#from as Buffer)
  }
}

function fromSlab(at: number, fds: FdSet, from: From): Item {
  const start = table[at + PLACE] as number
  const end = start + (table[at + LENGTH] as number)
  const payload = table[at + DETAIL]
  if (payload === Bytes) return { value: copyOut(start, end), fds, from }
  const text = payload === Ascii ? slab.latin1Slice(start, end) : slab.utf8Slice(start, end)
  try {
    return { value: JSON.parse(text), fds, from }
  } catch (cause) {
    return notJson(slab.subarray(start, end), cause, fds, from)
  }
}

function fromLarge(at: number, fds: FdSet, from: From): Item {
  const bytes = environment.takeLarge(table[at + PLACE] as number) as Sliceable
  const payload = table[at + DETAIL]
  if (payload === Bytes) return { value: bytes, fds, from }
  try {
    const text = payload === Ascii ? bytes.latin1Slice() : bytes.utf8Slice()
    return { value: JSON.parse(text), fds, from }
  } catch (cause) {
    return notJson(bytes, cause, fds, from)
  }
}

function notJson(sample: Uint8Array, cause: unknown, fds: FdSet, from: From): Item {
  fds.close()
  const message = `The message is not JSON: ${(cause as Error).message}`
  return { error: new FdwireError('ERR_FDWIRE_NOT_JSON', message, { cause, sample }), from }
}

/** Buffers that are given out are pieces of this: never written again, and not transferable. */
let chunk = Buffer.alloc(0)
let used = 0
const CHUNK = 64 * 1024

/** A Buffer with a copy of bytes of the slab. */
function copyOut(start: number, end: number): Buffer {
  const length = end - start
  if (length > CHUNK / 4) return Buffer.from(slab.subarray(start, end))
  if (used + length > chunk.length) {
    chunk = Buffer.allocUnsafeSlow(CHUNK)
    markAsUntransferable(chunk.buffer)
    used = 0
  }
  const at = used
  slab.copy(chunk, at, start, end)
  // Each begins at a multiple of eight, so that typed arrays can be laid over it.
  used = (at + length + 7) & ~7
  return chunk.subarray(at, at + length)
}
