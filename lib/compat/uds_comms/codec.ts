import { checkCallOptions } from '../../options/check.js'
import { describeValue } from '../../util/checks.js'
import { Queue } from '../../util/queue.js'
import { Codec as FrameCodec } from '../../wire/codec.js'
import type { UdsCodecOptions } from './options.js'

/** Returns the next bytes, in any number; null, undefined or an empty view at the end. */
export type Read = () => Bytes | Promise<Bytes>

type Bytes = ArrayBufferView | null | undefined

/** What a frame was decoded to. */
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
   * Makes a codec. `lenient` (false) decodes whatever Python's base64 decodes; `maxMessage` is the
   * largest text (bytes, 16 MiB).
   *
   * # Errors
   * TypeError, RangeError.
   */
  constructor(options: UdsCodecOptions = {}) {
    checkCallOptions('Codec', options, ['lenient', 'maxMessage'])
    this.#codec = new FrameCodec('uds_comms', {
      ...options,
      onMalformed: (error, before) => this.#malformed.push({ error, before }),
    })
  }

  /**
   * Encodes a text as a frame, with the same bytes as the original.
   *
   * The frame of `''` is `%$`. A receiver of the original does not deliver it and waits on.
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
   * Bytes behind the frame are kept for the next call. After null a later call continues where this
   * one stopped, even inside a frame. Concurrent calls run one after another.
   *
   * # Errors
   * The error of a malformed frame, once: the next call returns the frame behind it. What `read`
   * throws. ERR_FDWIRE_MESSAGE_TOO_LARGE for a frame that is longer than that of `maxMessage`
   * bytes; then every later call rejects too.
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
      // Throws the fatal error of the last chunk, if there was one, before it waits for more bytes.
      this.#codec.push(EMPTY)
      const bytes = await read()
      if (bytes === null || bytes === undefined || bytes.byteLength === 0) return null
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
