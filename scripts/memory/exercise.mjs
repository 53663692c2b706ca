// Reaches the unsafe code of the addon: hot calls, gathered and large messages, descriptors, memfds, memory
// that moves or is shared, busy polling, and environments that end with open channels. Runs under valgrind.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, connect as dial } from 'node:net'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { adopt, Codec, connect, createMemfd, listen, mapMemfd, over, pair } from 'fdwire'

const SIZES = [0, 1, 100, 4_096, 4_097, 70_000, 600_000]

/** The options of a channel of each type of socket, and the longest message for the test. */
const CHANNELS = [
  [{ protocol: 'length_prefixed', type: 'stream', maxFds: 8 }, 600_000],
  [{ protocol: 'length_prefixed', type: 'stream', encoding: 'json', maxFds: 8 }, 600_000],
  [{ protocol: 'lines', type: 'stream' }, 600_000],
  [{ protocol: 'stockings', type: 'stream' }, 70_000],
  [{ protocol: 'jsoncomm', type: 'dgram', memfd: true }, 600_000],
  [{ protocol: 'jsoncomm', type: 'seqpacket' }, 70_000],
  [{ protocol: 'raw', type: 'dgram', maxFds: 8 }, 70_000],
]

async function exchange(options, longest) {
  const [a, b] = pair(options)
  const isBytes =
    options.protocol === 'raw' || (options.protocol === 'length_prefixed' && !options.encoding)
  const valueWith = size => (isBytes ? Buffer.alloc(size, 7) : 'é'.repeat(size / 2))
  for (const size of SIZES.filter(size => size > 1 && size <= longest)) {
    const value = valueWith(size)
    const fds = options.protocol === 'lines' || options.protocol === 'stockings' ? [] : [0, 1]
    a.send(value)
    a.send(value, { fds })
    a.sendAll([value, value])
    for (let i = 0; i < 4; i++) {
      const message = await b.receive()
      assert.equal(message.value.length, value.length)
      message.fds.close()
    }
  }
  // Plain messages for a lone listener, in one turn.
  let count = 0
  b.on('message', () => count++)
  for (let i = 0; i < 300; i++) if (!a.send(valueWith(20))) await once(a, 'drain')
  while (count < 300) await new Promise(setImmediate)
  a.destroy()
  await b.close()
}

async function memory() {
  const content = Buffer.alloc(200_000, 5)
  const sealed = createMemfd(content)
  const mapped = mapMemfd(sealed.get(0))
  assert(mapped.equals(content))
  mapped.fill(1)
  const sparse = createMemfd(300_000)
  assert(mapMemfd(sparse.get(0)).every(byte => byte === 0))
  const codec = new Codec('length_prefixed')
  const frame = codec.encode(content)
  for (let at = 0; at < frame.length; at += 50_000) codec.push(frame.subarray(at, at + 50_000))
  const [a, b] = pair({ protocol: 'length_prefixed', type: 'stream' })
  a.send(content)
  const { value } = await b.receive()
  const moved = structuredClone(value, { transfer: [value.buffer] })
  assert.equal(Buffer.compare(moved, content), 0)
  const shared = new Uint8Array(new SharedArrayBuffer(100))
  a.send(shared)
  assert.equal((await b.receive()).value.length, 100)
  a.destroy()
  b.destroy()
  for (const set of [sealed, sparse]) set.close()
  globalThis.gc?.()
}

async function sockets() {
  const listener = await listen(null, { protocol: 'lines', busyPoll: 200 })
  listener.on('connection', channel => channel.on('message', text => channel.send(text)))
  const client = await connect(listener.address, { protocol: 'lines', busyPoll: 200 })
  for (let i = 0; i < 20; i++) assert.equal((await client.request(`${i}`)).value, `${i}`)
  const again = adopt(client.detach(), { protocol: 'lines' })
  assert.equal((await again.request('again')).value, 'again')
  await again.close()
  await listener.close()
  const server = createServer(socket => socket.pipe(socket)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const echo = over(dial(server.address().port, '127.0.0.1'), { protocol: 'lines' })
  assert.equal((await echo.request('over')).value, 'over')
  await echo.close()
  server.close()
}

/** Ends environments that have open channels, queues, descriptors and a busy poll. */
async function workers() {
  for (const ends of ['exit', 'terminate', 'callback']) {
    const worker = new Worker(new URL(import.meta.url), { workerData: ends })
    if (ends === 'terminate') {
      await once(worker, 'message')
      await worker.terminate()
    } else await once(worker, 'exit')
  }
}

function inWorker(ends) {
  const options = { protocol: 'length_prefixed', type: 'stream', maxFds: 8, busyPoll: 200 }
  const [a, b] = pair(options)
  const memfd = createMemfd(Buffer.alloc(100_000))
  a.send(Buffer.alloc(4_000_000))
  a.send(Buffer.from('x'), { fds: memfd })
  let count = 0
  b.on('message', () => {
    if (ends === 'callback' && ++count === 1) process.exit()
    parentPort.postMessage('ready')
    if (ends === 'exit') {
      a.destroy()
      b.destroy()
    }
  })
}

if (!isMainThread) inWorker(workerData)
else {
  for (const [options, longest] of CHANNELS) await exchange(options, longest)
  await memory()
  await sockets()
  await workers()
  console.log('done')
}
