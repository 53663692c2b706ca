/** Streams over channels for the tests of toDuplex. */
import { once } from 'node:events'
import type { Duplex, Readable } from 'node:stream'
import { type Channel, pair, toDuplex } from 'fdwire'
import { track } from './channels.js'

/** Returns a stream over a channel, that channel, and the channel at the other end. */
export function streamAndPeer(options: { allowHalfOpen?: boolean; highWaterMark?: number } = {}) {
  const [own, peer] = pair({ protocol: 'raw', allowHalfOpen: true, ...options })
  return { stream: toDuplex(track(own)), channel: own, peer: track(peer) }
}

/** Returns two streams over two connected channels. */
export function streamPair(options: { allowHalfOpen?: boolean } = {}): [Duplex, Duplex] {
  const [a, b] = pair({ protocol: 'raw', ...options })
  return [toDuplex(track(a)), toDuplex(track(b))]
}

/** Receives until a channel's peer ends, and returns the bytes. */
export async function receiveAll(channel: Channel<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = []
  for (;;) {
    const message = await channel.receive()
    if (message === null) return Buffer.concat(chunks)
    chunks.push(message.value)
  }
}

/** Reads a stream to its end, and leaves it writable: the iterator of a Duplex would destroy it. */
export async function readAll(stream: Readable): Promise<string> {
  let read = ''
  stream.on('data', chunk => {
    read += chunk
  })
  await once(stream, 'end')
  return read
}

/** Bytes that differ everywhere, so that a lost or moved part shows. */
export function bytes(length: number): Buffer {
  const words = new Uint32Array(Math.ceil(length / 4))
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i + 1, 2_654_435_761)
  return Buffer.from(words.buffer).subarray(0, length)
}
