/**
 * Moves the memory of Buffers from fdwire to another thread, whose Buffers must keep their bytes when
 * the thread that they come from has ended.
 *
 * `moved-memory.mjs FROM`: `worker` (a worker moves memory to the main thread, then ends) or `main` (the
 * main thread moves memory to a worker, which ends, and then collects garbage). Prints an array of
 * `[source, way, result]`. A result is `'kept'`, or the name of the error of what moves the memory.
 */
import { once } from 'node:events'
import { Duplex } from 'node:stream'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { Codec, createMemfd, mapMemfd, over, pair } from 'fdwire'

const FILL = 0x6d

/** Receives one message of `size` bytes over a pair of channels. */
async function received(options, size) {
  const [a, b] = pair(options)
  const message = b.receive()
  a.send(Buffer.alloc(size, FILL))
  const { value } = await message
  a.destroy()
  b.destroy()
  return value
}

function mapped(size, seal) {
  const file = createMemfd(Buffer.alloc(size, FILL), { seal })
  const bytes = mapMemfd(file.get(0))
  file.close()
  return bytes
}

/** Encodes bytes as a frame, and removes the line end. */
const frameOf = bytes => new Codec('lines', { encoding: 'buffer' }).encode(bytes).subarray(0, -1)

const STREAM = { protocol: 'length_prefixed' }
const SEQPACKET = { protocol: 'raw', type: 'seqpacket' }

/** What makes a Buffer that is filled with FILL, by name. */
const SOURCES = {
  'small message': () => received(STREAM, 100),
  'message of 20 KiB': () => received(STREAM, 20 * 1024),
  'message of 64 KiB': () => received(STREAM, 64 * 1024),
  'message of 1 MiB': () => received(STREAM, 1024 * 1024),
  'raw bytes': () => received({ protocol: 'raw', type: 'stream' }, 1_000),
  'seqpacket record': () => received(SEQPACKET, 50_000),
  'mapped memfd': () => mapped(1024 * 1024, true),
  'copied memfd': () => mapped(1024 * 1024, false),
  'small memfd': () => mapped(1_000, true),
  'message of a Codec': () => {
    const codec = new Codec('length_prefixed')
    return codec.push(codec.encode(Buffer.alloc(100_000, FILL)))[0]
  },
  'frame of a Codec': () => frameOf(Buffer.alloc(100_000, FILL)),
  'bytes for a stream': async () => {
    const chunks = []
    const duplex = new Duplex({
      read() {},
      write(chunk, _, done) {
        chunks.push(chunk)
        done()
      },
    })
    const channel = over(duplex, { protocol: 'raw' })
    channel.send(Buffer.alloc(100_000, FILL))
    await channel.flush()
    channel.destroy()
    return chunks[0]
  },
}

/** Ways to move the memory of a Buffer; each returns what to post, and the transfer list. */
const WAYS = {
  postMessage: bytes => [bytes, [bytes.buffer]],
  copy: bytes => [bytes, []],
  structuredClone: bytes => {
    const moved = structuredClone(bytes, { transfer: [bytes.buffer] })
    return [moved, [moved.buffer]]
  },
  // Node 20 does not have it.
  ...('transfer' in ArrayBuffer.prototype && {
    transfer: bytes => {
      const { byteOffset, length } = bytes
      const moved = bytes.buffer.transfer()
      return [new Uint8Array(moved, byteOffset, length), [moved]]
    },
  }),
}

/** Posts Buffers of every source in every way. */
async function postAll(port) {
  for (const [source, make] of Object.entries(SOURCES)) {
    for (const [way, move] of Object.entries(WAYS)) {
      const bytes = await make()
      if (bytes.some(byte => byte !== FILL)) throw new Error(`${source} has other bytes`)
      try {
        const [value, transferred] = move(bytes)
        port.postMessage([source, way, value], transferred)
      } catch (error) {
        port.postMessage([source, way, error.name])
      }
    }
  }
  port.postMessage('done')
}

/** Receives what `postAll` posts. */
async function receiveAll(port) {
  const all = []
  for (;;) {
    const [message] = await once(port, 'message')
    if (message === 'done') return all
    all.push(message)
  }
}

/** Returns the results: reads all bytes. */
const resultsOf = all =>
  all.map(([source, way, value]) => {
    if (typeof value === 'string') return [source, way, value]
    return [source, way, value.every(byte => byte === FILL) ? 'kept' : 'other bytes']
  })

if (!isMainThread) {
  if (workerData === 'worker') {
    await postAll(parentPort)
  } else {
    const all = await receiveAll(parentPort)
    parentPort.postMessage(resultsOf(all))
  }
} else if (process.argv[2] === 'worker') {
  const worker = new Worker(new URL(import.meta.url), { workerData: 'worker' })
  const ended = once(worker, 'exit')
  const all = await receiveAll(worker)
  await ended
  globalThis.gc()
  console.log(JSON.stringify(resultsOf(all)))
} else {
  const worker = new Worker(new URL(import.meta.url), { workerData: 'main' })
  const [ended, answered] = [once(worker, 'exit'), once(worker, 'message')]
  await postAll(worker)
  const [results] = await answered
  await ended
  globalThis.gc()
  // Memory that the worker has had is freed here.
  await new Promise(resolve => setImmediate(resolve))
  console.log(JSON.stringify(results))
}
