// Four workers and the main thread bind the same stale path at the same moment. Prints each result.
import { isMainThread, Worker, workerData } from 'node:worker_threads'
import { bind } from 'fdwire'

const { path, gate } = isMainThread
  ? { path: process.argv[2], gate: new Int32Array(new SharedArrayBuffer(4)) }
  : workerData
const WORKERS = 4

if (isMainThread) {
  const workers = Array.from(
    { length: WORKERS },
    () => new Worker(new URL(import.meta.url), { workerData: { path, gate } }),
  )
  const results = workers.map(worker => new Promise(resolve => worker.once('message', resolve)))
  while (Atomics.load(gate, 0) < WORKERS) await new Promise(setImmediate)
  console.log(JSON.stringify('ready'))
  await new Promise(resolve => process.stdin.once('data', resolve))
  Atomics.store(gate, 0, 100)
  Atomics.notify(gate, 0)
  results.push(attempt())
  console.log(JSON.stringify(await Promise.all(results)))
  process.stdin.unref()
} else {
  const { parentPort } = await import('node:worker_threads')
  for (let ready = Atomics.add(gate, 0, 1) + 1; ready < 100; ready = Atomics.load(gate, 0)) {
    Atomics.wait(gate, 0, ready)
  }
  parentPort.postMessage(await attempt())
}

/** Binds the path and echoes messages. Returns 'bound' or the error code. */
async function attempt() {
  try {
    const channel = await bind(path, { protocol: 'jsoncomm', unlink: 'stale' })
    channel.on('message', (value, _, from) => channel.send(value, { to: from }))
    return 'bound'
  } catch (error) {
    return error.code
  }
}
