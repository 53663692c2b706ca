import type { Duplex } from 'node:stream'
import { type Channel, makeChannel } from '../channel/channel.js'
import { environment } from '../native/environment.js'
import {
  checkOptions,
  type DefaultEncodingOf,
  type EncodingOf,
  type JsonOptions,
  type OverOptions,
  type ProtocolOver,
  type SendableOf,
  type ValueOf,
} from '../options/check.js'
import { describeValue } from '../util/checks.js'
import { DuplexHandle } from './duplex-handle.js'

/**
 * Makes a channel over any Duplex stream, such as a TLS socket, a pipe, or the standard streams of
 * a child process.
 *
 * The channel works like one over a socket, but cannot carry descriptors. It owns the stream, which
 * it ends and destroys. An error of the stream is an error of the channel.
 *
 * # Errors
 * TypeError unless the stream is a Duplex of bytes that no other channel uses.
 */
export function over<Receives, Sends = Receives>(
  duplex: Duplex,
  options: JsonOptions<'over'>,
): Channel<Receives, Sends>
export function over<
  P extends ProtocolOver<'stream'>,
  E extends EncodingOf<P> = DefaultEncodingOf<P>,
>(duplex: Duplex, options: OverOptions<P, E>): Channel<ValueOf<P, E>, SendableOf<P, E>>
export function over(duplex: Duplex, options: OverOptions): Channel {
  const checked = checkOptions('over', options)
  checkDuplex(duplex)
  used.add(duplex)
  const index = environment.carry(checked)
  const handle = new DuplexHandle(duplex, index, checked)
  const channel = makeChannel(handle, checked)
  handle.start(channel)
  return channel
}

/** The streams that channels use. */
const used = new WeakSet<object>()

function checkDuplex(duplex: unknown): asserts duplex is Duplex {
  const stream = duplex as Partial<Duplex> | null | undefined
  if (typeof stream?.write !== 'function' || typeof stream.on !== 'function' || !stream.readable) {
    throw new TypeError(
      `over takes a readable and writable Duplex stream, not ${describeValue(duplex)}`,
    )
  }
  if (used.has(stream)) throw new TypeError('over: another channel uses the stream')
  if (!stream.writable) throw new TypeError('over: the stream is not writable')
  if (stream.readableObjectMode || stream.writableObjectMode) {
    throw new TypeError('over: the stream is in object mode')
  }
  if (stream.readableEncoding) {
    throw new TypeError('over: the stream emits strings (setEncoding), not bytes')
  }
}
