import {
  Codec as NativeCodec,
  PayloadKind,
  RECORD_DETAIL,
  RECORD_KIND,
  RECORD_LENGTH,
  RECORD_PLACE,
  RECORD_WORDS,
  RecordKind,
} from '#native'
import type { Sliceable } from '../native/environment.js'
import {
  type CheckedOptions,
  type CodecOptions,
  checkCodecOptions,
  type DefaultEncodingOf,
  type EncodingOf,
  type ProtocolOver,
  type Sendable,
  type ValueOf,
} from '../options/check.js'
import { asBytes } from '../util/checks.js'
import { closedError, FdwireError } from '../util/errors.js'
import { encoderOf, unframeable } from './encode.js'
import { decodeBody, formOf } from './encodings/socket_protocol.js'
import { cutError, lossError, REFUSALS } from './records.js'

/**
 * The framing of a protocol without a socket: bytes to messages, and messages to bytes.
 *
 * For streams that come and go some other way; over a Node stream `over` does all of it.
 */
export class Codec<
  P extends ProtocolOver<'stream'> = ProtocolOver<'stream'>,
  E extends EncodingOf<P> = DefaultEncodingOf<P>,
> {
  /** The framing. */
  readonly protocol: P
  readonly #options: CheckedOptions
  readonly #native: NativeCodec
  readonly #encode: (value: unknown) => string | ArrayBufferView
  #error: Error | undefined
  #ended = false

  constructor(protocol: P, options: CodecOptions<P, E> = {}) {
    this.#options = checkCodecOptions(protocol, options)
    this.protocol = protocol
    this.#native = new NativeCodec(this.#options)
    this.#encode = encoderOf(this.#options.encoding)
  }

  /**
   * Decodes a chunk, which it neither changes nor keeps; the messages that it completes.
   *
   * What can't be delivered goes to `onMalformed`. Where the stream can't be understood any more the
   * messages before that are returned, and the next call throws.
   *
   * # Errors
   * ERR_FDWIRE_MESSAGE_TOO_LARGE, ERR_FDWIRE_BAD_HEADER; ERR_FDWIRE_CLOSED after `end()`.
   */
  push(chunk: ArrayBufferView): ValueOf<P, E>[] {
    if (!ArrayBuffer.isView(chunk)) {
      throw new TypeError('push takes a Buffer or another ArrayBufferView')
    }
    if (this.#error !== undefined) throw this.#error
    if (this.#ended) throw closedError('push')
    return this.#read(this.#native.push(asBytes(chunk)))
  }

  /**
   * The stream has ended: what that makes of the bytes that are left.
   *
   * # Errors
   * ERR_FDWIRE_CUT_SHORT with `missing` where they are the beginning of a message; what `push` throws.
   */
  end(): ValueOf<P, E>[] {
    if (this.#error !== undefined) throw this.#error
    if (this.#ended) return []
    this.#ended = true
    const values = this.#read(this.#native.end())
    if (this.#error !== undefined) throw this.#error
    return values
  }

  /**
   * The bytes of a message; none where the protocol sends nothing for an empty one.
   *
   * # Errors
   * ERR_FDWIRE_UNENCODABLE, ERR_FDWIRE_ILL_FORMED_TEXT, TypeError.
   */
  encode(value: Sendable<ValueOf<P, E>>): Buffer {
    const encoded = this.#encode(value)
    const { empty } = this.#options
    const text = typeof encoded === 'string'
    if (empty === 'skipped' && (text ? encoded.length : encoded.byteLength) === 0) {
      return Buffer.alloc(0)
    }
    const frame = text
      ? this.#native.encodeText(encoded)
      : this.#native.encodeBytes(asBytes(encoded))
    if (typeof frame === 'number') throw unframeable(frame, this.protocol)
    return frame
  }

  #read({ bytes, records }: { bytes: Buffer; records: Int32Array }): ValueOf<P, E>[] {
    const values: unknown[] = []
    const memory = bytes as Sliceable
    for (let at = 0; at < records.length; at += RECORD_WORDS) {
      const kind = records[at + RECORD_KIND] as RecordKind
      const start = records[at + RECORD_PLACE] as number
      const end = start + (records[at + RECORD_LENGTH] as number)
      const detail = records[at + RECORD_DETAIL] as number
      if (kind === RecordKind.Message) this.#readMessage(memory, start, end, detail, values)
      else if (kind === RecordKind.Refused) {
        const { code, message } = REFUSALS[detail as keyof typeof REFUSALS]
        const options = this.#isSampled ? { sample: bytes.subarray(start, end) } : {}
        this.#report(new FdwireError(code, message, options), values.length)
      } else if (kind === RecordKind.Lost) {
        this.#error = lossError(detail, this.#isSampled ? bytes.subarray(start, end) : undefined)
      } else this.#error = cutError(start)
    }
    return values as ValueOf<P, E>[]
  }

  #readMessage(
    memory: Sliceable,
    start: number,
    end: number,
    payload: PayloadKind,
    values: unknown[],
  ): void {
    const form = formOf(this.#options.encoding)
    if (form !== undefined) {
      try {
        values.push(decodeBody(form, memory.subarray(start, end)))
      } catch (error) {
        this.#report(error as FdwireError, values.length)
      }
      return
    }
    if (payload === PayloadKind.Bytes) {
      values.push(Buffer.from(memory.subarray(start, end)))
      return
    }
    const ascii = payload === PayloadKind.Ascii
    const text = ascii ? memory.latin1Slice(start, end) : memory.utf8Slice(start, end)
    if (this.#options.encoding !== 'json') {
      values.push(text)
      return
    }
    try {
      values.push(JSON.parse(text))
    } catch (cause) {
      const message = `The message is not JSON: ${(cause as Error).message}`
      const sample = memory.subarray(start, end)
      const error = new FdwireError('ERR_FDWIRE_NOT_JSON', message, { cause, sample })
      this.#report(error, values.length)
    }
  }

  /** What can hold a key is never shown. */
  get #isSampled(): boolean {
    return this.protocol !== 'socket_protocol'
  }

  /** `before` messages of the chunk stand before what could not be delivered. */
  #report(error: FdwireError, before: number): void {
    try {
      this.#options.onMalformed?.(error, before)
    } catch (thrown) {
      // As of any listener: it loses nothing that stands before or behind it.
      process.nextTick(() => {
        throw thrown
      })
    }
  }
}
