import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { Channel } from '../channel/channel.js'
import type { Port } from '../channel/port.js'
import { environment, hot, unregister } from '../native/environment.js'
import {
  checkOptions,
  type DefaultEncodingOf,
  type EncodingOf,
  type OverOptions,
  type ProtocolOver,
  type ValueOf,
} from '../options/check.js'
import { describeValue } from '../util/checks.js'

/**
 * Makes a channel over any Duplex stream: TLS, a pipe, the standard streams of a child.
 *
 * The codecs and the channel are the same as over a socket; no descriptors go beside the bytes. The
 * stream is the channel's from then on: it ends it and destroys it. An error of the stream is the
 * channel's.
 *
 * # Errors
 * TypeError for what is no Duplex of bytes, or is used already.
 */
export function over<
  P extends ProtocolOver<'stream'>,
  E extends EncodingOf<P> = DefaultEncodingOf<P>,
>(duplex: Duplex, options: OverOptions<P, E>): Channel<ValueOf<P, E>> {
  const checked = checkOptions('over', options)
  checkDuplex(duplex)
  carried.add(duplex)
  const index = environment.carry(checked)
  const port = new DuplexPort(duplex, index)
  const channel = new Channel<ValueOf<P, E>>(index, checked, port)
  port.start(channel)
  return channel
}

/** Streams that are a channel's. */
const carried = new WeakSet<object>()

function checkDuplex(duplex: unknown): asserts duplex is Duplex {
  const stream = duplex as Partial<Duplex> | null | undefined
  if (typeof stream?.write !== 'function' || typeof stream.on !== 'function' || !stream.readable) {
    throw new TypeError(
      `over takes a Duplex stream that can be read and written, not ${describeValue(duplex)}`,
    )
  }
  if (carried.has(stream)) throw new TypeError('over: the stream is that of a channel already')
  if (!stream.writable) throw new TypeError('over: the stream can not be written')
  if (stream.readableObjectMode || stream.writableObjectMode) {
    throw new TypeError('over: the stream is one of objects, and not of bytes')
  }
  if (stream.readableEncoding) {
    throw new TypeError(`over: the stream gives text (setEncoding), and not bytes`)
  }
}

/** A Duplex stream that carries a channel's bytes. */
class DuplexPort implements Port {
  readonly #duplex: Duplex
  readonly #index: number
  #flushing = false
  #closed = false
  #wanted = false
  /** What comes is dropped. */
  #discarding = false
  /** The stream carries nothing any more. */
  #fail: (error?: Error | null) => void = () => {}
  readonly flushSoon = () => {
    if (this.#flushing) return
    this.#flushing = true
    process.nextTick(() => this.flush())
  }

  constructor(duplex: Duplex, index: number) {
    this.#duplex = duplex
    this.#index = index
  }

  start(channel: Channel): void {
    const duplex = this.#duplex
    this.#fail = error => channel.destroy(duplex.errored ?? error ?? cutOff())
    // When our side ends is for the channel to say: something may be queued.
    duplex.allowHalfOpen = true
    duplex.pause()
    duplex.on('data', (chunk: Buffer) => {
      if (this.#closed || this.#discarding) return
      environment.feed(this.#index, chunk)
      if (this.#isBehind()) {
        duplex.pause()
        this.#resumeSoon()
      }
    })
    // Without an end of its own the stream was cut, which the codec finds out.
    const end = () => {
      if (!this.#closed) environment.feed(this.#index)
    }
    duplex.on('end', end)
    duplex.on('close', () => {
      end()
      const unsent = this.#closed ? 0 : environment.stats(this.#index).queuedBytes
      if (unsent > 0) this.#fail()
    })
    duplex.on('error', this.#fail)
  }

  want(wanted: boolean): number {
    this.#wanted = wanted
    hot.setReading(this.#index, wanted ? 1 : 0)
    if (!wanted) this.#duplex.pause()
    else if (this.#isBehind()) this.#resumeSoon()
    else this.#duplex.resume()
    return 0
  }

  /** Whether there are messages in hand that somebody wants: more come only behind them. */
  #isBehind(): boolean {
    return !this.#closed && environment.isDue(this.#index)
  }

  #resumeSoon(): void {
    setImmediate(() => {
      if (!this.#wanted || this.#closed || this.#discarding) return
      if (this.#isBehind()) this.#resumeSoon()
      else this.#duplex.resume()
    })
  }

  flush(): void {
    this.#flushing = false
    if (this.#closed) return
    const bytes = environment.fetch(this.#index)
    if (bytes.length === 0) return
    this.#duplex.write(bytes, error => {
      if (this.#closed) return
      // A net.Socket that is destroyed says that it has written.
      if (error || this.#duplex.destroyed) this.#fail(error)
      else environment.settle(this.#index, bytes.length)
    })
  }

  finish(): void {
    this.flush()
    this.#duplex.end()
  }

  shut(peerEnded: boolean, done: () => void): void {
    const duplex = this.#duplex
    this.#discarding = true
    if (duplex.destroyed) {
      done()
      return
    }
    // What is unread when a socket closes would be a reset for the peer.
    let waitsFor = peerEnded || duplex.readableEnded || !isOverTcp(duplex) ? 1 : 2
    const isOver = () => {
      if (--waitsFor === 0) done()
    }
    if (waitsFor === 2) duplex.once('end', isOver)
    duplex.once('close', done)
    duplex.resume()
    duplex.end(isOver)
  }

  close(): void {
    this.#closed = true
    unregister(this.#index)
    this.#duplex.destroy()
  }

  release(): number {
    return -1
  }
}

/** Whether a stream's bytes go over TCP, under TLS or not. */
function isOverTcp(duplex: Duplex): boolean {
  return duplex instanceof Socket && duplex.remoteFamily !== undefined
}

/** The error of a stream that was destroyed without one, as Node has it. */
function cutOff(): Error {
  const error = new Error('The stream was destroyed before all was sent')
  return Object.assign(error, { code: 'ERR_STREAM_PREMATURE_CLOSE' })
}
