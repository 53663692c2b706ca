import {
  BAD_ADDRESS,
  FDS_OUT,
  HAS_DELIMITER,
  NO_ROOM_FOR_FILE,
  QUEUE_FULL,
  TAKEN,
  TOO_LONG,
} from '#native'
import { collectFds, type FdSource } from '../fds/borrow.js'
import type { FdSet } from '../fds/fdset.js'
import { environment, hot, table } from '../native/environment.js'
import type { ChannelHandle } from '../native/handle.js'
import { type Address, checkAddress, isRelative } from '../options/address.js'
import { type CheckedOptions, type Encoding, rowOf } from '../options/check.js'
import { asBytes, checkIsObject, checkNames, only } from '../util/checks.js'
import { closedError, FdwireError, systemError } from '../util/errors.js'
import { at, type Encode, encodeArrays, encoderOf, isEmpty, unframeable } from '../wire/encode.js'
import type { From } from '../wire/message.js'

/** What goes with a message. */
export interface SendOptions {
  /** Descriptors to send along; they are borrowed, so close yours when you like. */
  fds?: FdSet | Iterable<FdSource> | undefined
  /** Where to, on a channel that is not connected. */
  to?: Address | undefined
  /** Whether `to` may be a relative path that came as a sender's name (the channel's option). */
  allowRelative?: boolean | undefined
}

const SEND_OPTIONS = only(['fds', 'to', 'allowRelative'])
const REQUEST_OPTIONS = only(['timeout', 'signal', 'fds', 'to', 'allowRelative'])
const BATCH_OPTIONS = only(['to', 'allowRelative'])
const SEND_ALL_OPTIONS = (name: string) =>
  name === 'fds' ? 'use send for a message with descriptors' : BATCH_OPTIONS(name)

/** Relative senders' names that are remembered; with more, no relative path is sent to. */
const MAX_RELATIVE = 1_024

/** The sending half of a channel: values to bytes, and what the kernel said to them. */
export class Sender {
  readonly #owner: ChannelHandle
  readonly #options: CheckedOptions
  readonly #encode: Encode
  readonly #encoding: Encoding | undefined
  readonly #connected: boolean
  /** Whether the protocol has a delimiter, which no message may hold. */
  readonly #delimited: boolean
  /** Has what is gathered go out soon. */
  readonly #sent: () => void
  /** Relative names of senders; made when there is one, since most channels never see any. */
  #relative: Set<string> | undefined
  /** Relative paths that were sent to before a sender had that name: those are the caller's own. */
  #own: Set<string> | undefined
  #closed = false

  /** `sent` is called after a message was taken. */
  constructor(owner: ChannelHandle, options: CheckedOptions, connected: boolean, sent: () => void) {
    this.#owner = owner
    this.#options = options
    this.#encoding = options.encoding
    this.#encode = encoderOf(options.encoding)
    this.#connected = connected
    this.#delimited = rowOf(options.protocol).delimited === true
    this.#sent = sent
  }

  /** Sends a value; 0 when the kernel has it, else the number under which it is queued. */
  send(value: unknown, options: SendOptions | undefined, call = 'send'): number {
    const encoded = this.#encode(value)
    if (options === undefined) {
      if (isEmpty(encoded) && this.#skips(0)) return 0
      return this.#check(this.#hand(encoded, 0, undefined), undefined)
    }
    checkIsObject(call, options)
    checkNames(call, options, call === 'request' ? REQUEST_OPTIONS : SEND_OPTIONS)
    const to = this.#destination(options)
    const fds = collectFds(options.fds, roomFor(this.#options.maxFds))
    if (isEmpty(encoded) && this.#skips(fds)) return 0
    return this.#check(this.#hand(encoded, fds, to), to)
  }

  /** Sends values one by one, as fast as that goes; whether the kernel has them all. */
  sendAll(values: Iterable<unknown>, options: SendOptions | undefined): boolean {
    if (options !== undefined) {
      checkIsObject('sendAll', options)
      checkNames('sendAll', options, SEND_ALL_OPTIONS)
    }
    if (typeof values !== 'object' || values === null || !(Symbol.iterator in values)) {
      throw new TypeError('sendAll takes an array or another iterable of values')
    }
    const to = this.#destination(options ?? {})
    const list = Array.from(values)
    const arrays = this.#encoding === 'json' ? encodeArrays(list) : undefined
    const encoded = arrays ?? list.map((value, index) => at(index, () => this.#encodeFor(value)))
    // Any of the values' own code may have closed it.
    if (this.#closed) throw closedError('sendAll')
    if (arrays !== undefined) return this.#sendArrays(arrays, to)
    // Nothing of the batch goes out where one of it can't.
    encoded.forEach((one, index) => {
      at(index, () => this.#checkFrame(one))
    })
    let sent = 0
    let queued = 0
    for (const one of encoded) {
      if (isEmpty(one) && this.#skips(0)) continue
      const result = this.#hand(one, 0, to)
      if (result < 0) throw withSent(this.#error(result, to), sent)
      sent++
      queued = result
    }
    return queued === 0
  }

  /** Sends no more. */
  close(): void {
    this.#closed = true
  }

  /** Remembers the name of a sender, if it is one that would mean something else here. */
  note(from: From): void {
    if (from === undefined || from === null || !isRelative(from)) return
    const name = printable(from)
    this.#relative ??= new Set()
    if (this.#relative.size <= MAX_RELATIVE && !this.#own?.has(name)) this.#relative.add(name)
  }

  #hand(encoded: string | ArrayBufferView, fds: number, to: Address | undefined): number {
    if (this.#closed) throw closedError('send')
    const { index } = this.#owner
    const send = typeof encoded === 'string' ? hot.sendText : hot.sendBytes
    let result: number | undefined
    if (to !== undefined) result = send(index, encoded as never, fds, to)
    else if (fds > 0) result = send(index, encoded as never, fds)
    else result = send(index, encoded as never)
    this.#sent()
    return result ?? 0
  }

  /** Sends the elements of JSON arrays. */
  #sendArrays(arrays: string[], to: Address | undefined): boolean {
    let sent = 0
    let queued = 0
    for (const array of arrays) {
      queued = hot.sendMany(this.#owner.index, array, to) ?? 0
      this.#sent()
      sent += table[TAKEN] as number
      if (queued < 0) throw withSent(this.#error(queued, to), sent)
    }
    return queued === 0
  }

  /** Encodes a value of a batch, none of which goes out where one is refused. */
  #encodeFor(value: unknown): string | ArrayBufferView {
    const encoded = this.#encode(value)
    if (isEmpty(encoded)) this.#skips(0)
    return encoded
  }

  /** Throws for what the protocol can't carry. */
  #checkFrame(encoded: string | ArrayBufferView): void {
    if (isEmpty(encoded)) this.#skips(0)
    if (!this.#delimited) return
    const bytes = typeof encoded === 'string' ? Buffer.from(encoded) : asBytes(encoded)
    const result = environment.checkFrame(this.#owner.index, bytes)
    if (result < 0) throw unframeable(result, this.#options.protocol)
  }

  /** Whether an empty message is not sent at all; one that the protocol refuses throws. */
  #skips(fds: number): boolean {
    const { empty, protocol } = this.#options
    if (empty === 'sent') return false
    if (empty === 'refused' || fds > 0) {
      throw new FdwireError('ERR_FDWIRE_UNENCODABLE', `${protocol} can't carry an empty message`)
    }
    if (this.#closed) throw closedError('send')
    return true
  }

  #check(result: number, to: Address | undefined): number {
    if (result < 0) throw this.#error(result, to)
    return result
  }

  #error(result: number, to: Address | undefined): Error {
    if (result === QUEUE_FULL) {
      const of = to === undefined ? '' : ` for ${to}`
      return new FdwireError(
        'ERR_FDWIRE_QUEUE_FULL',
        `The queue${of} is full (maxQueued, maxQueuedFds): wait for 'drain' when send gives false`,
      )
    }
    if (result === NO_ROOM_FOR_FILE) {
      const why =
        'The message is so large that it goes in a memfd: beside that there is room for 252'
      return new FdwireError('ERR_FDWIRE_TOO_MANY_FDS', `${why} descriptors`, { fault: 'caller' })
    }
    if (result === HAS_DELIMITER || result === TOO_LONG) {
      return unframeable(result, this.#options.protocol)
    }
    if (result === BAD_ADDRESS && to !== undefined) checkAddress(to, 'to')
    const error = systemError(result, 'sendmsg', destOf(to))
    if (to === undefined && !this.#connected)
      error.message += ': this channel has no peer, say to whom by `to`'
    return error
  }

  #destination({ to, allowRelative }: SendOptions): Address | undefined {
    if (to === undefined) return undefined
    if (this.#connected) {
      throw new FdwireError('ERR_FDWIRE_BAD_ADDRESS', 'to: this channel is connected to its peer')
    }
    if (to === null) {
      throw new FdwireError(
        'ERR_FDWIRE_BAD_ADDRESS',
        'to is null: the sender of that message has no name to which one could send',
      )
    }
    if (typeof to === 'string') {
      if (!to.isWellFormed()) checkAddress(to, 'to')
    } else if (!(to instanceof Uint8Array)) {
      throw new TypeError('to must be a path, an abstract name or a Buffer')
    }
    if (to.length === 0) {
      throw new FdwireError('ERR_FDWIRE_BAD_ADDRESS', 'to is empty: that is no name')
    }
    if (isRelative(to) && !(allowRelative ?? this.#options.allowRelative)) this.#refuseEcho(to)
    return to
  }

  /** A relative name of a sender would lead to a stranger: it belongs to the sender's directory. */
  #refuseEcho(to: Address): void {
    const name = printable(to)
    if (this.#own?.has(name)) return
    const known = this.#relative
    if (known === undefined || (!known.has(name) && known.size <= MAX_RELATIVE)) {
      this.#own ??= new Set()
      if (this.#own.size < MAX_RELATIVE) this.#own.add(name)
      return
    }
    throw new FdwireError(
      'ERR_FDWIRE_BAD_ADDRESS',
      `to is '${name}', a sender's relative path: it means another socket here (allowRelative)`,
    )
  }
}

/** The error of a queued message that was given up; an `errno` of 0 says that it expired. */
export function undeliveredError(errno: number, to: Address | undefined): Error {
  if (errno !== 0) return systemError(errno, 'sendmsg', destOf(to))
  const message = 'The destination took nothing for sendTimeout'
  return new FdwireError('ERR_FDWIRE_UNDELIVERED', message)
}

function destOf(to: Address | undefined): { dest?: string | Buffer } {
  if (to === undefined) return {}
  return { dest: typeof to === 'string' ? to : Buffer.from(to) }
}

const rooms = new Map<number, Int32Array>()

/** The place in the table for at most so many descriptors. */
function roomFor(fds: number): Int32Array {
  let room = rooms.get(fds)
  if (room === undefined) {
    room = table.subarray(FDS_OUT, FDS_OUT + fds)
    rooms.set(fds, room)
  }
  return room
}

function withSent(error: Error, sent: number): Error {
  return Object.assign(error, { sent })
}

function printable(address: Address): string {
  return typeof address === 'string' ? address : Buffer.from(address).toString()
}
