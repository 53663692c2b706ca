import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { Counter } from '#native'
import { environment, hot } from '../native/environment.js'
import { ChannelHandle } from '../native/handle.js'
import { nextTick, setImmediate } from '../util/timers.js'

/** The handle of a channel whose bytes a Duplex stream carries. It has no descriptor. */
export class DuplexHandle extends ChannelHandle {
  readonly #duplex: Duplex
  #isFlushScheduled = false
  /** Whether what arrives is discarded, since the channel is closing. */
  #isDiscarding = false
  #fail: (error?: Error | null) => void = () => {}

  constructor(duplex: Duplex, index: number) {
    super(index)
    this.#duplex = duplex
  }

  /** Connects the stream to its channel. An error of the stream destroys the channel. */
  start(channel: { destroy(error: Error): unknown }): void {
    const duplex = this.#duplex
    this.#fail = error => channel.destroy(duplex.errored ?? error ?? prematureClose())
    // The channel decides when its own side ends: messages may be queued.
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
      // A stream that closes without 'end' was cut. The codec finds out whether inside a message.
      end()
      if (this.isOpen && this.counter(Counter.QueuedBytes) > 0) this.#fail()
    })
    duplex.on('error', this.#fail)
  }

  override get isSocket(): boolean {
    return false
  }

  override flushSoon(): void {
    if (this.#isFlushScheduled) return
    this.#isFlushScheduled = true
    nextTick(() => this.flush())
  }

  override flush(): void {
    this.#isFlushScheduled = false
    if (!this.isOpen) return
    const bytes = environment.fetch(this.index)
    if (bytes.length === 0) return
    this.#duplex.write(bytes, error => {
      if (!this.isOpen) return
      // A net.Socket that was destroyed calls back without an error.
      if (error || this.#duplex.destroyed) this.#fail(error)
      else environment.settle(this.index, bytes.length)
    })
  }

  override finish(): void {
    this.flush()
    this.#duplex.end()
  }

  override shutDown(peerEnded: boolean, done: () => void): void {
    const duplex = this.#duplex
    this.#isDiscarding = true
    if (duplex.destroyed) {
      done()
      return
    }
    // Closing a TCP socket with unread input resets the connection: wait for the peer's end too.
    let ends = peerEnded || duplex.readableEnded || !isOverTcp(duplex) ? 1 : 2
    const onEnd = () => {
      if (--ends === 0) done()
    }
    if (ends === 2) duplex.once('end', onEnd)
    duplex.once('close', done)
    duplex.resume()
    duplex.end(onEnd)
  }

  override close(): void {
    super.close()
    this.#duplex.destroy()
  }

  protected override applyReading(reading: boolean): number {
    hot.setReading(this.index, reading ? 1 : 0)
    if (!reading) this.#duplex.pause()
    else if (this.#hasBacklog()) this.#resumeSoon()
    else this.#duplex.resume()
    return 0
  }

  /** Whether native code holds bytes whose messages are wanted. They come before new bytes. */
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

/** Whether a stream's bytes go over TCP, with TLS or without. */
function isOverTcp(duplex: Duplex): boolean {
  return duplex instanceof Socket && duplex.remoteFamily !== undefined
}

/** The error of a stream that was destroyed without an error, as Node creates it. */
function prematureClose(): Error {
  const error = new Error('The stream was destroyed before all was sent')
  return Object.assign(error, { code: 'ERR_STREAM_PREMATURE_CLOSE' })
}
