import { Duplex } from 'node:stream'
import type { FdSource } from '../fds/borrow.js'
import { duplicateFds } from '../fds/descriptors.js'
import { FdSet } from '../fds/fdset.js'
import { bufferOf } from '../util/buffers.js'
import { describeValue } from '../util/checks.js'
import { FdwireError } from '../util/errors.js'
import { nextTick } from '../util/timers.js'
import type { ChannelCore } from './core.js'

/**
 * A Duplex over a `raw` channel.
 *
 * ```text
 *  channel ──messages──► push       reading stops while the Duplex is full or has no reader
 *  write ──► send, flush ──► the callback of the write: the kernel has taken it
 * ```
 *
 * The channel never ends or closes itself: the Duplex does, as a `net.Socket` would.
 */
export class ChannelDuplex extends Duplex {
  readonly #core: ChannelCore
  /** The descriptors of chunks that are not sent yet. */
  readonly #fdsOf = new Map<Buffer, FdSet>()
  /** Whether the end of the input is pushed. */
  #hasEnded = false

  constructor(core: ChannelCore) {
    const { allowHalfOpen, highWaterMark } = core.options
    super({ allowHalfOpen, highWaterMark })
    this.#core = core
    const { channel, lifecycle, receiver } = core
    // Throws if there is another consumer.
    receiver.beginTaking('stream', (chunk, fds) => this.#take(chunk as Buffer, fds))
    // Until the first read.
    channel.pause()
    receiver.bufferMalformed()
    lifecycle.keepHalfOpen()
    channel.on('malformed', error => this.destroy(error))
    channel.on('error', error => this.destroy(error))
    channel.on('end', () => this.#end())
    channel.on('close', () => this.#onChannelClosed())
    if (lifecycle.hasEnded) this.#end()
  }

  override _read(): void {
    const { channel, lifecycle } = this.#core
    if (lifecycle.isOpen) channel.resume()
  }

  override _write(
    chunk: Buffer,
    _encoding: BufferEncoding,
    callback: (error?: Error | null) => void,
  ): void {
    this._writev([{ chunk }], callback)
  }

  override _writev(chunks: { chunk: Buffer }[], callback: (error?: Error | null) => void): void {
    // In a tick of its own, so that an exception of the program is not a rejected promise.
    this.#send(chunks).then(
      () => nextTick(callback),
      error => nextTick(callback, error),
    )
  }

  override _final(callback: (error?: Error | null) => void): void {
    const { channel, lifecycle } = this.#core
    if (lifecycle.isOpen) channel.end()
    callback()
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#core.channel.destroy()
    for (const fds of this.#fdsOf.values()) fds.close()
    this.#fdsOf.clear()
    callback(error)
  }

  /** Writes a chunk, and sends duplicates of the descriptors with it. */
  protected writeChunk(chunk: Buffer, fds: FdSet): boolean {
    if (fds.length === 0) return this.write(chunk)
    this.#fdsOf.set(chunk, fds)
    // The chunk may never be sent: the Duplex may have ended.
    return this.write(chunk, () => this.#takeFds(chunk)?.close())
  }

  /** The most descriptors of one chunk. */
  protected get maxFds(): number {
    return this.#core.options.maxFds
  }

  /** Sends chunks. Resolves when the kernel has taken them. */
  async #send(chunks: { chunk: Buffer }[]): Promise<void> {
    const core = this.#core
    for (const { chunk } of chunks) {
      const fds = this.#takeFds(chunk)
      try {
        if (core.channel.send(chunk, fds && { to: undefined, fds }) && fds === undefined) continue
      } finally {
        fds?.close()
      }
      // The queue has limits, for bytes and for descriptors.
      await core.flush()
    }
    await core.flush()
  }

  #takeFds(chunk: Buffer): FdSet | undefined {
    const fds = this.#fdsOf.get(chunk)
    this.#fdsOf.delete(chunk)
    return fds
  }

  #take(chunk: Buffer, fds: FdSet): void {
    try {
      if (fds.length > 0) this.#emitFds(fds)
    } finally {
      const isFull = !this.push(chunk)
      const { channel, lifecycle } = this.#core
      // A listener may have closed the channel.
      if (isFull && lifecycle.isOpen) channel.pause()
    }
  }

  /** Gives descriptors to the listeners; closes them if there is none. */
  #emitFds(fds: FdSet): void {
    if (this.listenerCount('fds') === 0) {
      fds.close()
      return
    }
    const numbers = Array.from({ length: fds.length }, (_, index) => fds.take(index))
    this.emit('fds', numbers)
  }

  #end(): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.push(null)
  }

  /** After the peer's end, what was pushed can still be read. */
  #onChannelClosed(): void {
    if (this.#hasEnded && !this.readableEnded) this.once('end', () => this.destroy())
    else this.destroy()
  }
}

/** A {@link ChannelDuplex} over a channel that passes descriptors. */
export class FdDuplex extends ChannelDuplex {
  /** See `toDuplex`. */
  writeWithFds(bytes: string | ArrayBufferView, fds: FdSet | Iterable<FdSource>): boolean {
    const chunk = toChunk(bytes)
    const duplicates = duplicateFds(fds, this.maxFds)
    if (chunk.length === 0 && duplicates.length > 0) {
      duplicates.close()
      throw new FdwireError(
        'ERR_FDWIRE_UNENCODABLE',
        'writeWithFds needs at least one byte: on a stream descriptors accompany bytes',
      )
    }
    return this.writeChunk(chunk, duplicates)
  }

  /** See `toDuplex`. */
  closeFds(fds: Iterable<number>): void {
    FdSet.from(fds).close()
  }
}

/** Returns a new Buffer for bytes, which identifies the chunk; without a copy. */
function toChunk(bytes: unknown): Buffer {
  if (typeof bytes === 'string') return Buffer.from(bytes)
  if (ArrayBuffer.isView(bytes)) return bufferOf(bytes)
  throw new TypeError(
    `writeWithFds takes a Buffer, another ArrayBufferView or a string, not ${describeValue(bytes)}`,
  )
}
