import { constants } from 'node:buffer'
import { PayloadKind, RecordKind } from '#native'
import { adoptReceived, EMPTY_FD_SET, type FdSet } from '../fds/fdset.js'
import { environment } from '../native/environment.js'
import type { ChannelHandle } from '../native/handle.js'
import type { CheckedOptions } from '../options/check.js'
import { copyOf, sliceAscii, sliceUtf8, viewOf } from '../util/buffers.js'
import { FdwireError } from '../util/errors.js'
import { type EncodingCodec, encodingOf } from './encodings/index.js'
import { refusalError } from './errors.js'
import type { From, Incoming, Malformed } from './message.js'
import { NOT_JOINED, SAME_SENDER, type TurnRecords } from './turn.js'

const { Message, Large, Refused } = RecordKind
const { Bytes } = PayloadKind

/** Makes messages from the records of one channel or `Codec`. */
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
   * Fast path: returns the value of record `index` if that is a message of the connected peer
   * without descriptors. Returns `NOT_PLAIN` for a record that `read` must handle.
   */
  readPlain(index: number): unknown {
    return this.#records.plainValue(index, this.#encoding, this.#isAligned)
  }

  /** Returns the message of record `index`; undefined if the record is another event. */
  read(index: number): Incoming | undefined {
    const records = this.#records
    const kind = records.kind(index)
    if (kind === Refused) {
      const sample = this.#options.redacted ? undefined : records.view(index)
      return {
        error: refusalError(records.refusalReason(index), sample),
        from: this.#sender(index),
      }
    }
    if (kind !== Message && kind !== Large) return undefined
    const numbers = records.fds(index)
    const fds = numbers.length === 0 ? EMPTY_FD_SET : adoptReceived(numbers, this.#handle)
    const incoming = this.#message(index, kind, fds, this.#sender(index))
    if ('error' in incoming) {
      fds.close()
      this.#handle.countMalformed(records.length(index), numbers.length)
    } else if (this.#options.credentials) {
      incoming.credentials = records.credentials(index)
    }
    return incoming
  }

  #message(index: number, kind: typeof Message | typeof Large, fds: FdSet, from: From): Incoming {
    const records = this.#records
    const joined = kind === Message ? records.joinedValue(index) : NOT_JOINED
    if (joined !== NOT_JOINED) return { value: joined, fds, from }
    const { decodeText, decodeBytes, malformed } = this.#encoding
    const large = kind === Large ? this.#takeLarge(index) : undefined
    try {
      if (records.payloadKind(index) === Bytes) {
        if (decodeBytes !== undefined) {
          return { value: decodeBytes(large ?? records.view(index)), fds, from }
        }
        return { value: large ?? this.#copy(index), fds, from }
      }
      const text = large === undefined ? records.text(index) : this.#largeText(index, large)
      return { value: decodeText === undefined ? text : decodeText(text), fds, from }
    } catch (thrown) {
      if (thrown instanceof TextTooLong) return this.#textTooLong(thrown, large as Buffer, from)
      const sample = this.#options.redacted ? undefined : (large ?? records.view(index))
      return { error: malformed(thrown, sample), from }
    }
  }

  /** Takes the memory of a large message and returns its payload, which is at the end of it. */
  #takeLarge(index: number): Buffer {
    const memory = environment.takeLarge(this.#records.place(index))
    return viewOf(memory, memory.length - this.#records.length(index))
  }

  #largeText(index: number, large: Buffer): string {
    const isAscii = this.#records.payloadKind(index) === PayloadKind.Ascii
    try {
      return isAscii ? sliceAscii(large) : sliceUtf8(large)
    } catch (cause) {
      throw new TextTooLong(cause)
    }
  }

  #textTooLong({ cause }: TextTooLong, payload: Buffer, from: From): Malformed {
    const longest = constants.MAX_STRING_LENGTH
    const message = `The text is longer than a string can be (${longest} characters)`
    const options = this.#options.redacted ? { cause } : { cause, sample: payload }
    return { error: new FdwireError('ERR_FDWIRE_MESSAGE_TOO_LARGE', message, options), from }
  }

  #copy(index: number): Buffer {
    return this.#isAligned ? this.#records.alignedCopy(index) : this.#records.copy(index)
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

/** Thrown for a text that is longer than a string can be. */
class TextTooLong {
  readonly cause: unknown
  constructor(cause: unknown) {
    this.cause = cause
  }
}
