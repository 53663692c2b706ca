import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { Counter } from '#native'
import { environment } from '../native/environment.js'
import { queueGathered } from '../native/gather.js'
import { ChannelHandle, type Reading } from '../native/handle.js'
import { nextTick, setImmediate } from '../util/timers.js'

/**
 * Length of the parts in which a queue is written with `idleTimeout` (bytes). The stream reports each
 * part, which shows that a slow peer reads. Without it, one write has everything: that is faster.
 */
const PART = 64 * 1024

/** The handle of a channel over a Duplex stream. It has no descriptor. */
export class DuplexHandle extends ChannelHandle {
  readonly #duplex: Duplex
  /** The most bytes of a write. */
  readonly #part: number
  #isFlushScheduled = false
  /** Whether received bytes are discarded, because the channel is closing. */
  #isDiscarding = false
  /** What follows the part that is being written; undefined if nothing does. */
  #rest: Buffer | undefined
  /** Whether to end the stream when everything is written. */
  #isFinishing = false
  #fail: (error?: Error | null) => void = () => {}

  constructor(duplex: Duplex, index: number, { idleTimeout }: { idleTimeout: number }) {
    super(index)
    this.#duplex = duplex
    this.#part = idleTimeout > 0 ? PART : Number.POSITIVE_INFINITY
  }

  /** Connects the stream to its channel. An error of the stream destroys the channel. */
  start(channel: { destroy(error: Error): unknown }): void {
    const duplex = this.#duplex
    this.#fail = error => channel.destroy(duplex.errored ?? error ?? prematureCloseError())
    // The channel itself ends this side, after it has sent its queue.
    duplex.allowHalfOpen = true
    duplex.pause()
    duplex.on('data', (chunk: Buffer) => {
      if (!this.isOpen || this.#isDiscarding) return
      environment.feed(this.index, chunk)
      if (this.#hasBacklog()) {
        duplex.pause()
        this.#resumeSoon()
      }
    })
    const end = () => {
      if (this.isOpen) environment.feed(this.index)
    }
    duplex.on('end', end)
    duplex.on('close', () => {
      // A stream that closes without 'end' was cut. The codec checks whether inside a message.
      end()
      if (this.isOpen && this.counter(Counter.QueuedBytes) > 0) this.#fail()
    })
    duplex.on('error', this.#fail)
  }

  override flushSoon(): void {
    if (this.#isFlushScheduled) return
    this.#isFlushScheduled = true
    nextTick(() => this.flush())
  }

  override flush(): void {
    this.#isFlushScheduled = false
    if (!this.isOpen) return
    queueGathered()
    // The rest comes first. What is queued meanwhile stays in the queue.
    if (this.#rest !== undefined) return
    const bytes = environment.fetch(this.index)
    if (bytes.length > 0) this.#write(bytes)
    if (this.#isFinishing && this.#rest === undefined) this.#duplex.end()
  }

  override finish(): void {
    this.#isFinishing = true
    this.flush()
  }

  override watchHangUp(done: () => void): void {
    if (this.#duplex.closed) nextTick(done)
    else this.#duplex.once('close', done)
  }

  override discardInput(): void {
    this.#isDiscarding = true
    this.#duplex.resume()
  }

  override shutDown(peerEnded: boolean, done: () => void): void {
    const duplex = this.#duplex
    this.#isDiscarding = true
    if (duplex.destroyed) {
      done()
      return
    }
    // Closing a TCP socket with unread input resets the connection: wait for the peer's end too.
    let pendingEnds = peerEnded || duplex.readableEnded || !isOverTcp(duplex) ? 1 : 2
    const onEnd = () => {
      if (--pendingEnds === 0) done()
    }
    if (pendingEnds === 2) duplex.once('end', onEnd)
    duplex.once('close', done)
    duplex.resume()
    duplex.end(onEnd)
  }

  override closeIfIdle(): boolean {
    return false
  }

  override close(): void {
    super.close()
    this.#duplex.destroy()
  }

  protected override applyReading(reading: Reading): void {
    super.applyReading(reading)
    if (reading === 'no') this.#duplex.pause()
    else if (this.#hasBacklog()) this.#resumeSoon()
    else this.#duplex.resume()
  }

  /** Writes the first part, and each further one when the stream has taken the one before. */
  #write(bytes: Buffer): void {
    const part = bytes.subarray(0, this.#part)
    const rest = bytes.length > this.#part ? bytes.subarray(this.#part) : undefined
    this.#rest = rest
    this.#duplex.write(part, error => {
      if (!this.isOpen) return
      // A destroyed net.Socket passes no error to the callback.
      if (error || this.#duplex.destroyed) return this.#fail(error)
      environment.settle(this.index, part.length)
      if (rest === undefined) return
      this.#write(rest)
      // What has been queued meanwhile follows the last part.
      this.flush()
    })
  }

  /**
   * Whether native code has undelivered messages. They must be delivered before new bytes are read.
   */
  #hasBacklog(): boolean {
    return this.isOpen && environment.isDue(this.index)
  }

  #resumeSoon(): void {
    setImmediate(() => {
      if (!this.isReading || !this.isOpen || this.#isDiscarding) return
      if (this.#hasBacklog()) this.#resumeSoon()
      else this.#duplex.resume()
    })
  }
}

/** Whether a stream runs over TCP, with or without TLS. */
function isOverTcp(duplex: Duplex): boolean {
  return duplex instanceof Socket && duplex.remoteFamily !== undefined
}

/** Returns the error of a stream that was destroyed without one, with the code that Node uses. */
function prematureCloseError(): Error {
  const error = new Error('The stream was destroyed before everything was sent')
  return Object.assign(error, { code: 'ERR_STREAM_PREMATURE_CLOSE' })
}
