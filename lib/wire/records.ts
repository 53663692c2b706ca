import { constants } from 'node:buffer'
import {
  CREDENTIALS,
  FDS_IN,
  FROM_PEER,
  FROM_SAME,
  FROM_UNNAMED,
  JOINED,
  LossReason,
  PayloadKind,
  RECORD_WORDS,
  RECORDS,
  RecordKind,
  RefusalReason,
} from '#native'
import { adoptReceived, EMPTY_FD_SET, type FdSet } from '../fds/fdset.js'
import { environment, type Sliceable, slab, table } from '../native/environment.js'
import type { ChannelHandle } from '../native/handle.js'
import { type Address, decodeAddress } from '../options/address.js'
import type { CheckedOptions } from '../options/check.js'
import type { Form } from '../options/socket_protocol.js'
import type { Credentials } from '../options/types.js'
import { type ErrorCode, FdwireError, systemError } from '../util/errors.js'
import { decodeBody, formOf } from './encodings/socket_protocol.js'
import { type From, type Item, isMessage } from './message.js'
import { alignedBytes, asciiText, beginRuns, copiedBytes, endRuns } from './runs.js'

// Place of a record's words: see crates/node/src/table.rs.
const PLACE = 1
const LENGTH = 2
const FIRST_FD = 3
const FDS = 4
const NAME = 5
const NAME_LENGTH = 6
const DETAIL = 7

/** A division by JOINED, and one by CREDENTIALS. */
const JOINED_SHIFT = Math.log2(JOINED)
const CREDENTIALS_SHIFT = Math.log2(CREDENTIALS)

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
  [RefusalReason.BadEscape]: {
    code: 'ERR_FDWIRE_BAD_ESCAPE',
    message: 'The frame has an escape that is none',
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
  [RefusalReason.NoMemoryFile]: {
    code: 'ERR_FDWIRE_NO_MEMFD',
    message:
      'The message should be in a file in memory, and that is none, or was changed meanwhile',
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

/**
 * The error that a notice of the channel's end tells, with its sample unless that may hold a key;
 * undefined for a good end.
 */
export function errorOf(notice: Notice, isSampled = true): Error | undefined {
  const { kind, name, place, detail } = notice
  switch (kind) {
    case RecordKind.Failed:
      return systemError(place, String(name))
    case RecordKind.Cut:
      return cutError(place)
    case RecordKind.Lost:
      return lossError(detail, isSampled ? notice.sample : undefined)
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

/** Texts that were parsed at once, from this record on; native says where that is exact. */
let joined: unknown[] = []
let joinedFirst = 0
let joinedEnd = 0

/** Prepares to read the records of a turn, of which there are `count`. */
export function beginTurn(count: number): void {
  beginRuns(count)
  joinedEnd = 0
}

/** Lets go of what was read, which is the messages' now. */
export function endTurn(): void {
  joined = []
  joinedEnd = 0
  endRuns()
}

/** Parses the `count` texts from record `index` on at once; whether that went well. */
function parseJoined(index: number, count: number): boolean {
  const at = recordAt(index)
  const last = recordAt(index + count - 1)
  const start = (table[at + PLACE] as number) - 1
  const end = (table[last + PLACE] as number) + (table[last + LENGTH] as number) + 1
  const ascii = ((table[at + DETAIL] as number) & (JOINED - 1)) === Ascii
  const text = ascii ? slab.latin1Slice(start, end) : slab.utf8Slice(start, end)
  try {
    const values: unknown = JSON.parse(text)
    if (!Array.isArray(values) || values.length !== count) return false
    joined = values
    joinedFirst = index
    joinedEnd = index + count
    return true
  } catch {
    // One of them is no JSON: each is parsed alone then, so that this one alone is reported.
    return false
  }
}

/** How many messages there are from record `first` to the one before `end`. */
export function countMessages(first: number, end: number): number {
  let messages = 0
  for (let index = first; index < end; index++) {
    const kind = table[recordAt(index)]
    if (kind === Message || kind === Large) messages++
  }
  return messages
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
  const length = (table[at + NAME_LENGTH] as number) & (CREDENTIALS - 1)
  return decodeAddress(slab.subarray(name, name + length))
}

/** The credentials that came with the message of a record. */
function credentialsAt(at: number): Credentials {
  const place = (table[at + NAME_LENGTH] as number) >> CREDENTIALS_SHIFT
  return {
    pid: slab.readInt32LE(place),
    uid: slab.readUInt32LE(place + 4),
    gid: slab.readUInt32LE(place + 8),
  }
}

/** What `readValue` gives for a record that it is not for. */
export const OTHER = Symbol('other')

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
  readonly #owner: ChannelHandle
  readonly #json: boolean
  readonly #bytes: (index: number, start: number, end: number) => Buffer
  readonly #form: Form | undefined
  /** What can hold a key is never shown. */
  readonly #isSampled: boolean
  readonly #credentials: boolean
  #from: From

  constructor(owner: ChannelHandle, options: CheckedOptions) {
    const { protocol, encoding, type, credentials } = options
    this.#owner = owner
    // What frames a message of a stream puts it anywhere.
    this.#bytes = type === 'stream' ? copiedBytes : (_index, start, end) => alignedBytes(start, end)
    this.#json = encoding === 'json'
    this.#form = formOf(encoding)
    this.#isSampled = protocol !== 'socket_protocol'
    this.#credentials = credentials
  }

  /**
   * The value of record `index` where that is a message of the one peer without descriptors, and in
   * the slab; else OTHER, and it is for `read`.
   */
  readValue(index: number): unknown {
    const at = recordAt(index)
    if (table[at] !== Message || table[at + FDS] !== 0 || table[at + NAME] !== FROM_PEER)
      return OTHER
    if (index < joinedEnd) return joined[index - joinedFirst]
    const detail = table[at + DETAIL] as number
    if (detail >= JOINED && parseJoined(index, detail >> JOINED_SHIFT)) return joined[0]
    if (this.#form !== undefined) return OTHER
    const start = table[at + PLACE] as number
    const end = start + (table[at + LENGTH] as number)
    const payload = detail & (JOINED - 1)
    if (payload === Bytes) return this.#bytes(index, start, end)
    const text = payload === Ascii ? asciiText(index, start, end) : slab.utf8Slice(start, end)
    if (!this.#json) return text
    try {
      return JSON.parse(text)
    } catch {
      return OTHER
    }
  }

  /** The message of record `index`, or undefined where it tells of something else. */
  read(index: number): Item | undefined {
    const at = recordAt(index)
    const item = this.#read(index, at)
    if (this.#credentials && item !== undefined && isMessage(item)) {
      item.credentials = credentialsAt(at)
    }
    return item
  }

  #read(index: number, at: number): Item | undefined {
    const kind = table[at]
    if (kind === Message || kind === Large) {
      const fds = this.#fds(at)
      const from = this.#sender(at)
      const detail = table[at + DETAIL] as number
      const parsed =
        index < joinedEnd || (detail >= JOINED && parseJoined(index, detail >> JOINED_SHIFT))
      if (parsed) return { value: joined[index - joinedFirst], fds, from }
      const count = fds.length
      const item =
        kind === Message ? this.#fromSlab(index, at, fds, from) : this.#fromLarge(at, fds, from)
      if (!isMessage(item)) this.#refuse(at, count)
      return item
    }
    if (kind !== RecordKind.Refused) return undefined
    const { code, message } = REFUSALS[table[at + DETAIL] as RefusalReason]
    const place = table[at + PLACE] as number
    const sample = slab.subarray(place, place + (table[at + LENGTH] as number))
    const options = this.#isSampled ? { sample } : {}
    return { error: new FdwireError(code, message, options), from: this.#sender(at) }
  }

  #fromSlab(index: number, at: number, fds: FdSet, from: From): Item {
    const start = table[at + PLACE] as number
    const end = start + (table[at + LENGTH] as number)
    const payload = (table[at + DETAIL] as number) & (JOINED - 1)
    if (this.#form !== undefined) {
      return parseBody(this.#form, slab.subarray(start, end), fds, from)
    }
    if (payload === Bytes) return { value: this.#bytes(index, start, end), fds, from }
    const text = payload === Ascii ? asciiText(index, start, end) : slab.utf8Slice(start, end)
    return this.#json
      ? parse(text, slab.subarray(start, end), fds, from)
      : { value: text, fds, from }
  }

  #fromLarge(at: number, fds: FdSet, from: From): Item {
    const memory = environment.takeLarge(table[at + PLACE] as number) as Sliceable
    const begin = memory.length - (table[at + LENGTH] as number)
    const payload = (table[at + DETAIL] as number) & (JOINED - 1)
    if (this.#form !== undefined) return parseBody(this.#form, memory.subarray(begin), fds, from)
    if (payload === Bytes) return { value: memory.subarray(begin), fds, from }
    let text: string
    try {
      text = payload === Ascii ? memory.latin1Slice(begin) : memory.utf8Slice(begin)
    } catch (cause) {
      fds.close()
      const longest = constants.MAX_STRING_LENGTH
      const message = `The text is longer than a string can be: ${longest} characters`
      const options = this.#isSampled ? { cause, sample: memory.subarray(begin) } : { cause }
      return { error: new FdwireError('ERR_FDWIRE_MESSAGE_TOO_LARGE', message, options), from }
    }
    return this.#json ? parse(text, memory.subarray(begin), fds, from) : { value: text, fds, from }
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

function parseBody(form: Form, bytes: Uint8Array, fds: FdSet, from: From): Item {
  try {
    return { value: decodeBody(form, bytes), fds, from }
  } catch (error) {
    fds.close()
    return { error: error as FdwireError, from }
  }
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
