// A worker thread with one end of a pair: what it does with it is its case.
import { parentPort, workerData } from 'node:worker_threads'
import { adopt } from 'fdwire'

const channel = adopt(workerData.fd, workerData.options ?? { protocol: 'jsoncomm' })
const tell = what => parentPort.postMessage(what)
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

  /** Holds every set, and tells of the first. */
  reads() {
    channel.once('message', () => tell('first'))
    channel.on('message', (_, fds) => void sets.push(fds))
  },

  /** Leaves all but the first in the channel's own memory. */
  async keeps() {
    sets.push((await channel.receive()).fds)
    tell('first')
  },

  /** Never returns from its first message. */
  busy() {
    channel.on('message', () => {
      tell('first')
      for (;;);
    })
  },

  async awaits() {
    for await (const { fds } of channel) {
      sets.push(fds)
      if (sets.length === 1) tell('first')
    }
  },

  idle() {},

  /** Has duplicates queued that nobody takes. */
  queues() {
    channel.once('message', (_, fds) => {
      while (channel.stats.queued < 20) channel.send(1, { fds })
      tell('queued')
    })
  },

  exits() {
    channel.on('message', (_, fds) => {
      sets.push(fds)
      tell('first')
      process.exit()
    })
  },

  /** Has a descriptor of its peer. */
  looks() {
    tell(channel.peer.pidfd ?? -1)
    setInterval(() => {}, 1_000)
  },

  async detaches() {
    await channel.receive()
    tell(channel.detach())
    setInterval(() => {}, 1_000)
  },
}

tell('ready')
cases[workerData.name]()
