import type { Duplex } from 'node:stream'
import { type Channel, makeChannel } from '../channel/channel.js'
import { environment } from '../native/environment.js'
import {
  checkOptions,
  type DefaultEncodingOf,
  type EncodingOf,
  type OverOptions,
  type ProtocolOver,
  type ValueOf,
} from '../options/check.js'
import { describeValue } from '../util/checks.js'
import { DuplexHandle } from './duplex-handle.js'

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
  const handle = new DuplexHandle(duplex, index)
  const channel = makeChannel<ValueOf<P, E>>(handle, checked)
  handle.start(channel)
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
