import { markAsUntransferable } from 'node:worker_threads'
import {
  FDS_IN,
  FROM_PEER,
  FROM_SAME,
  FROM_UNNAMED,
  JOINED_ASCII,
  JOINED_END,
  LossReason,
  PayloadKind,
  RECORD_WORDS,
  RECORDS,
  RecordKind,
  RefusalReason,
} from '#native'
import { type Address, decodeAddress } from './address.js'
import { type ErrorCode, FdwireError, systemError } from './errors.js'
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
export const REFUSALS: Record<RefusalReason, { code: ErrorCode; message: string }> = {
  [RefusalReason.Empty]: { code: 'ERR_FDWIRE_EMPTY_MESSAGE', message: 'The message is empty' },
  [RefusalReason.NotUtf8]: { code: 'ERR_FDWIRE_NOT_UTF8', message: 'The message is not UTF-8' },
  [RefusalReason.NotBase64]: {
    code: 'ERR_FDWIRE_NOT_BASE64',
    message: 'The message is not base64 as the protocol encodes it',
  },
  [RefusalReason.CutOff]: {
    code: 'ERR_FDWIRE_FRAME_CUT_OFF',
    message: 'The frame ends where the next one begins',
  },
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

/** Why nothing more can be understood of a stream, by its number. */
const LOSSES: Record<LossReason, { code: ErrorCode; message: string }> = {
  [LossReason.TooLarge]: {
    code: 'ERR_FDWIRE_MESSAGE_TOO_LARGE',
    message: 'A message has more bytes than maxMessage allows: the stream can not go on',
  },
  [LossReason.BadHeader]: {
    code: 'ERR_FDWIRE_BAD_HEADER',
    message: 'The header of a frame is none of the protocol: the stream can not be understood',
  },
}

/** The error that a notice of the channel's end tells; undefined for a good end. */
export function errorOf({ kind, name, place, detail, sample }: Notice): Error | undefined {
  switch (kind) {
    case RecordKind.Failed:
      return systemError(place, String(name))
    case RecordKind.Cut:
      return cutError(place)
    case RecordKind.Lost:
      return lossError(detail, sample)
    default:
      return undefined
  }
}

/** The error of a stream of which nothing more can be understood. */
export function lossError(reason: LossReason, sample: Uint8Array | undefined): FdwireError {
  const { code, message } = LOSSES[reason]
  return new FdwireError(code, message, sample === undefined ? {} : { sample })
}

/** The error of a stream that ended inside of a message, so many bytes before its end at least. */
export function cutError(missing: number): FdwireError {
  const message = `The stream ended inside of a message: ${missing} bytes or more are missing`
  return new FdwireError('ERR_FDWIRE_CUT_SHORT', message, { missing })
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
  /** The errno, 0 where a message expired; of an accepted channel its index; of a cut, the bytes. */
  place: number
  /** The low 31 bits of a queued message's number; why a stream is lost. */
  detail: number
  /** The first bytes of what is lost. */
  sample: Buffer | undefined
}

/** Reads record `index`, which is no message. */
export function readNotice(index: number): Notice {
  const at = recordAt(index)
  const lost = table[at] === RecordKind.Lost
  const place = table[at + PLACE] as number
  const length = table[at + LENGTH] as number
  return {
    kind: table[at] as RecordKind,
    name: nameAt(at) ?? undefined,
    place,
    detail: table[at + DETAIL] as number,
    sample: lost ? Buffer.from(slab.subarray(place, place + length)) : undefined,
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
  readonly #json: boolean
  #from: From

  /** `json`: whether texts are JSON. */
  constructor(owner: FdOwner, json: boolean) {
    this.#owner = owner
    this.#json = json
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
      const json = this.#json
      const item = kind === Message ? this.#fromSlab(at, fds, from) : fromLarge(at, json, fds, from)
      if (!isMessage(item)) this.#refuse(at, count)
      return item
    }
    if (kind !== RecordKind.Refused) return undefined
    const { code, message } = REFUSALS[table[at + DETAIL] as RefusalReason]
    const place = table[at + PLACE] as number
    const sample = slab.subarray(place, place + (table[at + LENGTH] as number))
    return { error: new FdwireError(code, message, { sample }), from: this.#sender(at) }
  }

  #fromSlab(at: number, fds: FdSet, from: From): Item {
    const start = table[at + PLACE] as number
    const end = start + (table[at + LENGTH] as number)
    const payload = table[at + DETAIL]
    if (payload === Bytes) return { value: copyOut(start, end), fds, from }
    const text = payload === Ascii ? slab.latin1Slice(start, end) : slab.utf8Slice(start, end)
    return this.#json
      ? parse(text, slab.subarray(start, end), fds, from)
      : { value: text, fds, from }
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

function fromLarge(at: number, json: boolean, fds: FdSet, from: From): Item {
  const memory = environment.takeLarge(table[at + PLACE] as number) as Sliceable
  const begin = memory.length - (table[at + LENGTH] as number)
  const payload = table[at + DETAIL]
  if (payload === Bytes) return { value: memory.subarray(begin), fds, from }
  const text = payload === Ascii ? memory.latin1Slice(begin) : memory.utf8Slice(begin)
  return json ? parse(text, memory.subarray(begin), fds, from) : { value: text, fds, from }
}

function parse(text: string, bytes: Uint8Array, fds: FdSet, from: From): Item {
  try {
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
