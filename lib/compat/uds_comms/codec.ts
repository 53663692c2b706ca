import { checkCallOptions } from '../../options/check.js'
import { describeValue } from '../../util/checks.js'
import { NO_OPTIONS } from '../../util/no-options.js'
import { Queue } from '../../util/queue.js'
import { Codec as FrameCodec } from '../../wire/codec.js'
import type { UdsCodecOptions } from './options.js'

/** Returns the next bytes, any number of them; null, undefined or an empty view at the end. */
export type Read = () => Bytes | Promise<Bytes>

type Bytes = ArrayBufferView | null | undefined

/** The result of decoding a frame. */
type Decoded = { text: string } | { error: Error }

const EMPTY = new Uint8Array(0)

/** Converts texts to bytes and bytes to texts, without a socket and without a handshake. */
export class Codec {
  readonly #codec: FrameCodec<'uds_comms', 'text'>
  readonly #decoded = new Queue<Decoded>()
  /** The malformed frames of the current chunk, and how many of its texts come before each. */
  #malformed: { error: Error; before: number }[] = []
  /** The last `receive` call. Calls run one after another. */
  #last: Promise<unknown> = Promise.resolve()

  /**
   * Makes a codec. `lenient` (false) accepts everything that Python's base64 module accepts;
   * `maxMessage` is the size of the largest text (bytes, 16 MiB).
   *
   * # Errors
   * TypeError, RangeError.
   */
  constructor(options: UdsCodecOptions = NO_OPTIONS) {
    checkCallOptions('Codec', options, ['lenient', 'maxMessage'])
    this.#codec = new FrameCodec('uds_comms', {
      ...options,
      onMalformed: (error, before) => this.#malformed.push({ error, before }),
    })
  }

  /**
   * Encodes a text as a frame, with the same bytes as the original.
   *
   * The frame of `''` is `%$`, which a receiver of the original skips.
   *
   * # Errors
   * ERR_FDWIRE_ILL_FORMED_TEXT for a lone surrogate; TypeError.
   */
  encode(text: string): Buffer {
    return this.#codec.encode(text)
  }

  /**
   * Calls `read` until a frame is complete and returns its text; null if `read` returns the end.
   *
   * Bytes after the frame are buffered for the next call. After null a later call continues where
   * this one stopped, even inside a frame. Concurrent calls run one after another.
   *
   * # Errors
   * The error of a malformed frame, after which the next call returns the next frame; the exception
   * of `read`; ERR_FDWIRE_MESSAGE_TOO_LARGE for a frame that is longer than that of `maxMessage`
   * bytes, after which every call rejects.
   */
  receive(read: Read): Promise<string | null> {
    const call = this.#last.then(() => this.#receive(read))
    this.#last = call.catch(() => {})
    return call
  }

  async #receive(read: Read): Promise<string | null> {
    if (typeof read !== 'function') {
      throw new TypeError(`receive takes a function that returns bytes, not ${describeValue(read)}`)
    }
    for (;;) {
      const decoded = this.#decoded.shift()
      if (decoded !== undefined) {
        if ('error' in decoded) throw decoded.error
        return decoded.text
      }
      // If the last chunk had a fatal error, this throws it, before `read` waits for more bytes.
      this.#codec.push(EMPTY)
      const bytes = await read()
      if (bytes === null || bytes === undefined) return null
      if (!ArrayBuffer.isView(bytes)) {
        throw new TypeError(`read must return a Buffer or null, not ${describeValue(bytes)}`)
      }
      if (bytes.byteLength === 0) return null
      this.#push(bytes)
    }
  }

  /** Decodes a chunk. Texts and malformed frames are queued in the order of the stream. */
  #push(bytes: ArrayBufferView): void {
    this.#malformed = []
    const texts = this.#codec.push(bytes)
    let next = 0
    for (const { error, before } of this.#malformed) {
      while (next < before) this.#decoded.push({ text: texts[next++] as string })
      this.#decoded.push({ error })
    }
    while (next < texts.length) this.#decoded.push({ text: texts[next++] as string })
  }
}
