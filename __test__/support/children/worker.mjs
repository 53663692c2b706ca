// A worker thread with one end of a pair. The case in `workerData.name` decides what it does.
import { parentPort, workerData } from 'node:worker_threads'
import { adopt } from 'fdwire'

const channel = adopt(workerData.fd, workerData.options ?? { protocol: 'jsoncomm' })
const report = value => parentPort.postMessage(value)
const sets = []

const cases = {
  echo() {
    channel.on('message', (value, fds) => {
      channel.send(value, { fds })
      fds.close()
    })
  },

  ends() {
    channel.once('message', () => {})
    channel.unref()
  },

  /** Keeps every set open and reports the first message. */
  reads() {
    channel.once('message', () => report('first'))
    channel.on('message', (_, fds) => void sets.push(fds))
  },

  /** Receives one message, so that the channel retains the others it has read. */
  async keeps() {
    sets.push((await channel.receive()).fds)
    report('first')
  },

  /** Its first message listener never returns. */
  busy() {
    channel.on('message', () => {
      report('first')
      for (;;);
    })
  },

  async awaits() {
    for await (const { fds } of channel) {
      sets.push(fds)
      if (sets.length === 1) report('first')
    }
  },

  idle() {},

  /** Queues duplicated descriptors that the peer does not receive. */
  queues() {
    channel.once('message', (_, fds) => {
      while (channel.stats.queued < 20) channel.send(1, { fds })
      report('queued')
    })
  },

  exits() {
    channel.on('message', (_, fds) => {
      sets.push(fds)
      report('first')
      process.exit()
    })
  },

  /** Holds a pidfd of its peer. */
  looks() {
    report(channel.peer.pidfd ?? -1)
    setInterval(() => {}, 1_000)
  },

  async detaches() {
    await channel.receive()
    report(channel.detach())
    setInterval(() => {}, 1_000)
  },
}

report('ready')
cases[workerData.name]()
