import { type Decoded, Codec as NativeCodec, RECORD_WORDS, RecordKind } from '#native'
import { NO_CHANNEL } from '../native/handle.js'
import type { RecordMemory } from '../native/memory.js'
import {
  type CheckedOptions,
  type CodecOptions,
  checkCodecOptions,
  type DefaultEncodingOf,
  type EncodingOf,
  type ProtocolOver,
  type SendableOf,
  type ValueOf,
} from '../options/check.js'
import { asBytes, describeValue } from '../util/checks.js'
import { closedError, type FdwireError } from '../util/errors.js'
import { NO_OPTIONS } from '../util/no-options.js'
import { nextTick } from '../util/timers.js'
import { Cursor } from './cursor.js'
import { type EncodingCodec, encodingOf, isEmpty } from './encodings/index.js'
import { cutError, lossError, unframeableError } from './errors.js'
import { isMessage } from './message.js'
import { MessageReader } from './reader.js'
import { TurnRecords } from './turn.js'

/**
 * The framing of a protocol without a socket: decodes bytes to messages, and encodes messages.
 *
 * Use it for bytes that fdwire does not transport itself. For a Node stream use `over`.
 */
export class Codec<
  P extends ProtocolOver<'stream'> = ProtocolOver<'stream'>,
  E extends EncodingOf<P> = DefaultEncodingOf<P>,
> {
  /** The framing. */
  readonly protocol: P
  readonly #options: CheckedOptions
  readonly #native: NativeCodec
  readonly #encoding: EncodingCodec
  /** The messages of the last chunk, and the records that describe them. */
  readonly #memory: RecordMemory = { ...NO_MEMORY }
  readonly #records = new TurnRecords(this.#memory)
  readonly #cursor = new Cursor(this.#records)
  readonly #reader: MessageReader
  #error: Error | undefined
  #ended = false
  /** Whether the records of a chunk are being read, which may call code of the program. */
  #isReading = false

  /**
   * Makes a codec.
   *
   * # Errors
   * TypeError for a protocol without streams, and for an invalid option; RangeError.
   */
  constructor(protocol: P, options: CodecOptions<P, E> = NO_OPTIONS) {
    this.#options = checkCodecOptions(protocol, options)
    this.protocol = protocol
    this.#native = new NativeCodec(this.#options)
    this.#encoding = encodingOf(this.#options.encoding)
    this.#reader = new MessageReader(this.#records, NO_CHANNEL, this.#options)
  }

  /**
   * Decodes a chunk and returns the messages that it completes. Neither modifies nor keeps the
   * chunk.
   *
   * Calls `onMalformed` for malformed messages. If the stream cannot be decoded any further,
   * returns the messages before that point, and the next call throws.
   *
   * # Errors
   * ERR_FDWIRE_MESSAGE_TOO_LARGE, ERR_FDWIRE_BAD_HEADER; ERR_FDWIRE_CLOSED after `end()`;
   * TypeError.
   */
  push(chunk: ArrayBufferView): ValueOf<P, E>[] {
    if (!ArrayBuffer.isView(chunk)) {
      throw new TypeError(
        `push takes a Buffer or another ArrayBufferView, not ${describeValue(chunk)}`,
      )
    }
    this.#checkNotReading('push')
    if (this.#error !== undefined) throw this.#error
    if (this.#ended) throw closedError('push')
    return this.#read(this.#native.push(asBytes(chunk)))
  }

  /**
   * Ends the stream and returns the messages that this completes.
   *
   * # Errors
   * ERR_FDWIRE_CUT_SHORT with `missing` (bytes) if the stream ends inside a message; those of
   * `push`.
   */
  end(): ValueOf<P, E>[] {
    this.#checkNotReading('end')
    if (this.#error !== undefined) throw this.#error
    if (this.#ended) return []
    this.#ended = true
    const values = this.#read(this.#native.end())
    if (this.#error !== undefined) throw this.#error
    return values
  }

  /**
   * Encodes a message as a frame. Returns an empty Buffer for an empty message that the protocol
   * skips.
   *
   * # Errors
   * ERR_FDWIRE_UNENCODABLE, ERR_FDWIRE_ILL_FORMED_TEXT, TypeError.
   */
  encode(value: SendableOf<P, E>): Buffer {
    const encoded = this.#encoding.encode(value)
    if (this.#options.empty === 'skipped' && isEmpty(encoded)) return Buffer.alloc(0)
    const frame =
      typeof encoded === 'string'
        ? this.#native.encodeText(encoded)
        : this.#native.encodeBytes(asBytes(encoded))
    if (typeof frame === 'number') throw unframeableError(frame, this.protocol)
    return frame
  }

  #read({ bytes, records, spans }: Decoded): ValueOf<P, E>[] {
    const words = wordsOf(records)
    Object.assign(this.#memory, { bytes, words, spans: wordsOf(spans) })
    const values: unknown[] = []
    const malformed: [error: FdwireError, before: number][] = []
    this.#isReading = true
    try {
      this.#readRecords(words.length / RECORD_WORDS, values, malformed)
    } finally {
      this.#isReading = false
      Object.assign(this.#memory, NO_MEMORY)
    }
    // Only now: a handler may call push(), which reuses the memory.
    for (const [error, before] of malformed) this.#report(error, before)
    return values as ValueOf<P, E>[]
  }

  #readRecords(count: number, values: unknown[], malformed: [FdwireError, number][]): void {
    const cursor = this.#cursor
    cursor.begin(count)
    for (;;) {
      const read = cursor.read(this.#reader)
      if (read === undefined) break
      if (typeof read === 'number') this.#error = this.#failure(read)
      else if (isMessage(read)) values.push(read.value)
      else malformed.push([read.error, values.length])
    }
    cursor.end()
  }

  /** Refuses a call by `decode` of the option `encoding`: a chunk is read while it runs. */
  #checkNotReading(method: string): void {
    if (this.#isReading) throw new TypeError(`decode must not call ${method} of its Codec`)
  }

  /** Returns the error of a record that ends the stream. */
  #failure(index: number): FdwireError {
    const { kind, place, detail, sample } = this.#records.event(index)
    if (kind !== RecordKind.Lost) return cutError(place)
    return lossError(detail, sample, this.#options)
  }

  /** Reports a malformed message. `before` messages of the chunk precede it. */
  #report(error: FdwireError, before: number): void {
    try {
      this.#options.onMalformed?.(error, before)
    } catch (thrown) {
      // As in an event listener, an exception must not lose the other messages of the chunk.
      nextTick(() => {
        throw thrown
      })
    }
  }
}

const NO_WORDS = new Int32Array(0)
const NO_MEMORY: RecordMemory = {
  bytes: Buffer.alloc(0),
  words: NO_WORDS,
  first: 0,
  spans: NO_WORDS,
  firstSpan: 0,
}

function wordsOf({ buffer, byteOffset, length }: Buffer): Int32Array {
  return new Int32Array(buffer, byteOffset, length / 4)
}
