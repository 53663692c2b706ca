import { checkCallOptions } from '../../options/check.js'
import { Queue } from '../../util/queue.js'
import { Codec as Framing } from '../../wire/codec.js'
import type { UdsCodecOptions } from './options.js'

/** Gives the next bytes, whatever their number; null, or none at all, at the end. */
export type Read = () => Bytes | Promise<Bytes>

type Bytes = ArrayBufferView | null | undefined

/** What a chunk has brought: a text, or why there is none. */
type Found = { text: string } | { error: Error }

const NOTHING = new Uint8Array(0)

/** Texts to bytes, and bytes to texts, without a socket and without a handshake. */
export class Codec {
  readonly #framing: Framing<'uds_comms', 'text'>
  readonly #found = new Queue<Found>()
  /** What the chunk at hand has brought that is no text: behind how many texts it stands. */
  #malformed: { error: Error; before: number }[] = []
  /** The calls take turns. */
  #turn: Promise<unknown> = Promise.resolve()

  /**
   * A codec: strict, or `lenient` (false) as Python's base64 is, with messages of at most `maxMessage`
   * (bytes, 16 MiB).
   *
   * # Errors
   * TypeError, RangeError.
   */
  constructor(options: UdsCodecOptions = {}) {
    checkCallOptions('Codec', options, ['lenient', 'maxMessage'])
    this.#framing = new Framing('uds_comms', {
      ...options,
      onMalformed: (error, before) => this.#malformed.push({ error, before }),
    })
  }

  /**
   * The frame of a text, in the very bytes of the original. That of `''` is `%$`, for which a receiver
   * of the original waits in vain.
   *
   * # Errors
   * ERR_FDWIRE_ILL_FORMED_TEXT for a lone surrogate; TypeError.
   */
  encode(text: string): Buffer {
    return this.#framing.encode(text)
  }

  /**
   * Takes bytes from `read` until a whole message stands, and gives its text; what is left over is for
   * the next call. null where `read` gives null or no bytes; a later call goes on where this one has
   * stopped. Calls take turns.
   *
   * # Errors
   * Rejects for a malformed frame, once; the next call gives what stands behind it. What `read` throws.
   * ERR_FDWIRE_MESSAGE_TOO_LARGE for a frame longer than that of `maxMessage` bytes: nothing comes
   * after that.
   */
  receive(read: Read): Promise<string | null> {
    const turn = this.#turn.then(() => this.#receive(read))
    this.#turn = turn.catch(() => {})
    return turn
  }

  async #receive(read: Read): Promise<string | null> {
    if (typeof read !== 'function') throw new TypeError('receive takes a function that gives bytes')
    for (;;) {
      const found = this.#found.shift()
      if (found !== undefined) {
        if ('error' in found) throw found.error
        return found.text
      }
      // Throws where the last chunk was the end of it, even if no more bytes come.
      this.#framing.push(NOTHING)
      const bytes = await read()
      if (bytes === null || bytes === undefined || bytes.byteLength === 0) return null
      this.#push(bytes)
    }
  }

  #push(bytes: ArrayBufferView): void {
    this.#malformed = []
    const texts = this.#framing.push(bytes)
    let next = 0
    for (const { error, before } of this.#malformed) {
      while (next < before) this.#found.push({ text: texts[next++] as string })
      this.#found.push({ error })
    }
    while (next < texts.length) this.#found.push({ text: texts[next++] as string })
  }
}
