import { Worker } from 'node:worker_threads'
import { type Channel, pair } from 'fdwire'
import { describe, expect, it } from 'vitest'
import { destroyChannelsAfterEach, track } from '../support/channels.js'
import { FRAMES, streamPair } from '../support/streams.js'

destroyChannelsAfterEach()

const SIZES = [16, 4_096, 4_097, 100_000]

const PAIRS: [string, () => [Channel, Channel]][] = [
  ['a stream', () => streamPair({ ...FRAMES, maxFds: 4 })],
  [
    'seqpacket',
    () => pair({ protocol: 'raw', type: 'seqpacket', maxFds: 4 }).map(track) as [Channel, Channel],
  ],
]

/** Returns descriptors whose iteration runs `act`, after `send` has looked at the value. */
function* descriptorsAfter(act: () => void) {
  act()
  yield 0
}

/** Memory whose length may change. The library of TypeScript does not declare it. */
type Resizable = ArrayBuffer & { resize(length: number): void }

const resizable = (length: number) =>
  new (ArrayBuffer as unknown as new (length: number, options: object) => Resizable)(length, {
    maxByteLength: 2 * length,
  })

/** Receives `count` messages, and closes their descriptors. */
async function receive(channel: Channel, count: number): Promise<Buffer[]> {
  const values: Buffer[] = []
  while (values.length < count) {
    const message = await channel.receive()
    if (message === null) break
    message.fds.close()
    values.push(message.value as Buffer)
  }
  return values
}

describe.each(PAIRS)('bytes sent over %s', (_, connect) => {
  it.each(SIZES)('may be detached or resized by the iterator of fds: %i', async size => {
    const [a, b] = connect()
    const resize = (length: number) => {
      const memory = resizable(size)
      const view = new Uint8Array(memory).fill(7)
      a.send(view, { fds: descriptorsAfter(() => memory.resize(length)) })
      return length
    }
    const detached = new Uint8Array(size).fill(7)
    const fds = descriptorsAfter(() => structuredClone(detached, { transfer: [detached.buffer] }))
    // What is sent is what the view has when the call hands it over. A packet needs a byte.
    const lengths = [resize(1), resize(2 * size)]
    if (b.type === 'stream') {
      a.send(detached, { fds })
      lengths.push(0, resize(0))
    }
    const values = await receive(b, lengths.length)
    expect(values.map(value => value.length)).toEqual(lengths)
    expect(values[0]?.every(byte => byte === 7)).toBe(true)
  })

  it.each(SIZES)('may be written by another thread meanwhile: %i', async size => {
    const [a, b] = connect()
    const shared = new SharedArrayBuffer(size)
    const writer = new Worker(
      `const bytes = new Uint8Array(require('worker_threads').workerData)
       for (let i = 0; ; i++) bytes.fill(i)`,
      { eval: true, workerData: shared },
    )
    const view = new Uint8Array(shared)
    for (let i = 0; i < 50; i++) {
      if (!a.send(view)) await a.flush()
      const [value] = await receive(b, 1)
      expect(value?.length).toBe(size)
    }
    await writer.terminate()
  })
})

describe('a call of the program inside a call of fdwire', () => {
  it('may close the channel while a value is encoded', () => {
    const [a] = streamPair({ ...FRAMES, encoding: 'json' })
    const value = { toJSON: () => a.destroy() && 1 }
    expect(() => a.send(value)).toThrow(/closed/)
    expect(() => a.sendAll([1, value])).toThrow(/closed/)
  })

  it('may send and close in a message listener, in its middle of a turn', async () => {
    const [a, b] = streamPair({ ...FRAMES, maxFds: 4 })
    let count = 0
    b.on('message', (_, fds) => {
      b.send('reply', { fds })
      fds.close()
      if (++count === 3) b.destroy()
    })
    for (let i = 0; i < 10; i++) a.send('x', { fds: [0] })
    await new Promise(done => b.once('close', done as never))
    expect(count).toBe(3)
  })
})
