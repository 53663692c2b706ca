// A worker thread with a stream. The case in `workerData.name` decides what it does.
import { parentPort, workerData } from 'node:worker_threads'
import { adopt, connect, listen } from 'fdwire'

const LINES = { protocol: 'lines' }
const report = value => parentPort.postMessage(value)
const channel = adopt(workerData.fd, LINES)

const cases = {
  echoes() {
    channel.on('message', value => channel.send(`echo ${value}`))
  },

  /** Queues 1 MB that the peer does not read, and waits in flush() and close(). */
  queues() {
    while (channel.stats.queuedBytes < 1_000_000) channel.send('x'.repeat(10_000))
    channel.flush().catch(() => {})
    channel.close({ timeout: 0 }).catch(() => {})
    report('queued')
  },

  /** Has two listeners, with accepted connections and connections in the backlog. */
  async listens() {
    const listener = await listen(null, LINES)
    const path = await listen(workerData.path, LINES)
    path.on('connection', () => {})
    const clients = []
    for (let i = 0; i < 5; i++) clients.push(await connect(listener.address, LINES))
    listener.once('connection', accepted => {
      accepted.on('message', () => {})
      clients.push(accepted)
      report('listening')
    })
    await new Promise(() => {})
  },

  /** Waits in receive() and request(). */
  waits() {
    channel.receive().catch(() => {})
    channel.request('?').catch(() => {})
    report('waits')
  },

  /** Its first message listener never returns. */
  busy() {
    channel.on('message', () => {
      report('busy')
      for (;;);
    })
  },

  /** Calls process.exit() with an unsent message. */
  exits() {
    channel.send('last')
    process.exit()
  },
}

cases[workerData.name]()
