import { constants } from 'node:buffer'
import { PayloadKind, RecordKind } from '#native'
import { adoptReceived, EMPTY_FD_SET, type FdSet } from '../fds/fdset.js'
import { environment } from '../native/environment.js'
import type { ChannelHandle } from '../native/handle.js'
import type { CheckedOptions } from '../options/check.js'
import { allocate, copyOf, sliceAscii, sliceUtf8, viewOf } from '../util/buffers.js'
import { FdwireError } from '../util/errors.js'
import { type EncodingCodec, encodingOf } from './encodings/index.js'
import { refusalError } from './errors.js'
import type { From, Incoming, Malformed } from './message.js'
import { NOT_JOINED, SAME_SENDER, type TurnRecords } from './turn.js'

const { Message, Large, Refused } = RecordKind
const { Bytes } = PayloadKind

/** Makes messages from the records and spans of one channel or `Codec`. */
export class MessageReader {
  readonly #records: TurnRecords
  readonly #handle: ChannelHandle
  readonly #encoding: EncodingCodec
  readonly #options: CheckedOptions
  /** Whether copies are aligned. On a stream they are not, since frames have any length. */
  readonly #isAligned: boolean
  /** The address of the last sender that has one. */
  #from: From

  constructor(records: TurnRecords, handle: ChannelHandle, options: CheckedOptions) {
    this.#records = records
    this.#handle = handle
    this.#options = options
    this.#encoding = encodingOf(options.encoding)
    this.#isAligned = options.type !== 'stream'
  }

  /**
   * Fast path: returns the value of a plain message. Returns `NOT_PLAIN` for one that `readSpan` must
   * read.
   */
  readPlain(span: number): unknown {
    return this.#records.plainValue(span, this.#encoding, this.#isAligned)
  }

  /** Returns a plain message. */
  readSpan(span: number): Incoming {
    const incoming = this.#message(span, EMPTY_FD_SET, undefined)
    if ('error' in incoming) this.#handle.countMalformed(this.#records.spanLength(span), 0)
    return incoming
  }

  /** Returns the message of record `index`; undefined if the record is another event. */
  read(index: number): Incoming | undefined {
    const records = this.#records
    const kind = records.kind(index)
    if (kind === Refused) {
      const reason = records.refusalReason(index)
      const error = refusalError(reason, records.sample(index), this.#options)
      return { error, from: this.#sender(index) }
    }
    if (kind !== Message && kind !== Large) return undefined
    const numbers = records.fds(index)
    const fds = numbers.length === 0 ? EMPTY_FD_SET : adoptReceived(numbers, this.#handle)
    const from = this.#sender(index)
    const place = records.place(index)
    const incoming =
      kind === Large ? this.#largeMessage(index, fds, from) : this.#message(place, fds, from)
    if ('error' in incoming) {
      fds.close()
      const length = kind === Large ? records.length(index) : records.spanLength(place)
      this.#handle.countMalformed(length, numbers.length)
    } else if (this.#options.credentials) {
      incoming.credentials = records.credentials(index)
    }
    return incoming
  }

  #message(span: number, fds: FdSet, from: From): Incoming {
    const records = this.#records
    const joined = records.joinedValue(span)
    if (joined !== NOT_JOINED) return { value: joined, fds, from }
    const { decodeText, decodeBytes, isCustom } = this.#encoding
    try {
      if (records.payloadKind(span) === Bytes) {
        if (decodeBytes === undefined) return { value: this.#copy(span), fds, from }
        const value = decodeBytes(isCustom ? this.#copy(span) : records.view(span))
        return { value, fds, from }
      }
      const text = records.text(span)
      return { value: decodeText === undefined ? text : decodeText(text), fds, from }
    } catch (thrown) {
      return this.#malformed(thrown, records.view(span), from)
    }
  }

  #largeMessage(index: number, fds: FdSet, from: From): Incoming {
    const kind = this.#records.largeKind(index)
    return kind === Bytes
      ? this.#largeBytes(index, fds, from)
      : this.#largeText(index, kind, fds, from)
  }

  /** Returns a large message of bytes, in memory of V8: user code may move it to another thread. */
  #largeBytes(index: number, fds: FdSet, from: From): Incoming {
    const { decodeBytes } = this.#encoding
    const length = this.#records.length(index)
    let bytes: Buffer
    try {
      bytes = allocate(length)
    } catch (cause) {
      const message = `There is no memory for a message of ${length} bytes`
      return { error: new FdwireError('ERR_FDWIRE_MESSAGE_TOO_LARGE', message, { cause }), from }
    }
    environment.moveLarge(this.#records.place(index), bytes)
    try {
      return { value: decodeBytes === undefined ? bytes : decodeBytes(bytes), fds, from }
    } catch (thrown) {
      return this.#malformed(thrown, bytes, from)
    }
  }

  #largeText(index: number, kind: PayloadKind, fds: FdSet, from: From): Incoming {
    const { decodeText } = this.#encoding
    const memory = environment.takeLarge(this.#records.place(index))
    const large = viewOf(memory, memory.length - this.#records.length(index))
    try {
      const text = textOfLarge(large, kind)
      return { value: decodeText === undefined ? text : decodeText(text), fds, from }
    } catch (thrown) {
      if (thrown instanceof TextTooLong) return this.#textTooLong(thrown, large, from)
      return this.#malformed(thrown, large, from)
    }
  }

  #malformed(thrown: unknown, payload: Buffer, from: From): Malformed {
    const sample = this.#options.redacted ? undefined : payload
    return { error: this.#encoding.malformed(thrown, sample), from }
  }

  #textTooLong({ cause }: TextTooLong, payload: Buffer, from: From): Malformed {
    const longest = constants.MAX_STRING_LENGTH
    const message = `The text is longer than a string can be (${longest} characters)`
    const options = this.#options.redacted ? { cause } : { cause, sample: payload }
    return { error: new FdwireError('ERR_FDWIRE_MESSAGE_TOO_LARGE', message, options), from }
  }

  #copy(span: number): Buffer {
    return this.#isAligned ? this.#records.alignedCopy(span) : this.#records.copy(span)
  }

  #sender(index: number): From {
    const sender = this.#records.sender(index)
    if (sender !== SAME_SENDER) {
      // A sender without an address does not change which one SAME_SENDER refers to.
      if (sender !== undefined && sender !== null) this.#from = sender
      return sender
    }
    // Each message gets a Buffer of its own, which its receiver may modify.
    return typeof this.#from === 'string' ? this.#from : copyOf(this.#from as Buffer)
  }
}

function textOfLarge(large: Buffer, kind: PayloadKind): string {
  try {
    return kind === PayloadKind.Ascii ? sliceAscii(large) : sliceUtf8(large)
  } catch (cause) {
    throw new TextTooLong(cause)
  }
}

/** Thrown for a text that is longer than a string can be. */
class TextTooLong {
  readonly cause: unknown
  constructor(cause: unknown) {
    this.cause = cause
  }
}
