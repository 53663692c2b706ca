// A worker thread with a stream, a listener or both: what it does with them is its case.
import { parentPort, workerData } from 'node:worker_threads'
import { adopt, connect, listen } from 'fdwire'

const LINES = { protocol: 'lines' }
const tell = what => parentPort.postMessage(what)
const channel = adopt(workerData.fd, LINES)

const cases = {
  echoes() {
    channel.on('message', value => channel.send(`echo ${value}`))
  },

  /** Has much queued that nobody takes. */
  queues() {
    while (channel.stats.queuedBytes < 1_000_000) channel.send('x'.repeat(10_000))
    channel.flush().catch(() => {})
    channel.close({ timeout: 0 }).catch(() => {})
    tell('queued')
  },

  /** Listens, with connections open, kept and waiting. */
  async listens() {
    const listener = await listen('', LINES)
    const path = await listen(workerData.path, LINES)
    path.on('connection', () => {})
    const clients = []
    for (let i = 0; i < 5; i++) clients.push(await connect(listener.address, LINES))
    listener.once('connection', one => {
      one.on('message', () => {})
      clients.push(one)
      tell('listening')
    })
    await new Promise(() => {})
  },

  /** Waits for everything one can wait for. */
  waits() {
    channel.receive().catch(() => {})
    channel.request('?').catch(() => {})
    tell('waits')
  },

  /** Never returns from its first message. */
  busy() {
    channel.on('message', () => {
      tell('busy')
      for (;;);
    })
  },

  /** Exits with something unsent. */
  exits() {
    channel.send('last')
    process.exit()
  },
}

cases[workerData.name]()
