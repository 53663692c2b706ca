// A worker thread that is busy with open channels until it is terminated. `workerData.name` is what it does.
import { once } from 'node:events'
import { openSync } from 'node:fs'
import { Duplex } from 'node:stream'
import { parentPort, workerData } from 'node:worker_threads'
import { adopt, bind, connect, listen, over, toDuplex } from 'fdwire'

const { name, fd } = workerData
const OPTIONS = { protocol: 'length_prefixed', encoding: 'json', maxFds: 8 }
const channel = adopt(fd, name === 'duplex' ? { protocol: 'raw', maxFds: 8 } : OPTIONS)
const file = openSync('/dev/full', 'r')
const held = []

/** Tells the parent that the worker is in the middle of it. The work goes on. */
const ready = () => parentPort.postMessage('ready')

const cases = {
  /** Sends in a loop that never returns to the event loop. */
  sends() {
    for (let i = 0; ; i++) {
      if (i === 10) ready()
      try {
        channel.send({ i, text: 'x'.repeat(1_000) }, { fds: [file, file] })
      } catch (error) {
        if (error.code !== 'ERR_FDWIRE_QUEUE_FULL') throw error
      }
    }
  },

  /** Sends from a listener, while messages with descriptors come. */
  answers() {
    channel.on('message', (value, fds) => {
      held.push(fds)
      ready()
      for (let i = 0; i < 10; i++) channel.send(value, { fds })
    })
  },

  /** Stays in a listener. */
  stays() {
    channel.on('message', (_, fds) => {
      held.push(fds)
      ready()
      for (;;);
    })
  },

  /** Serves with handlers that never settle. */
  serves() {
    channel.serve((_, fds) => {
      held.push(fds)
      ready()
      return new Promise(() => {})
    })
  },

  requests() {
    for (let i = 0; i < 100; i++) channel.request(i, { fds: [file] }).catch(() => {})
    ready()
  },

  async iterates() {
    for await (const { fds } of channel) {
      held.push(fds)
      ready()
    }
  },

  async opens() {
    const listener = await listen(null, OPTIONS)
    const bound = await bind(null, { protocol: 'jsoncomm' })
    listener.on('connection', one => one.on('message', (_, fds) => held.push(fds)))
    for (let i = 0; ; i++) {
      const client = await connect(listener.address, OPTIONS)
      client.send(i, { fds: [bound.fd, file] })
      await client.flush()
      if (i === 3) ready()
    }
  },

  duplex() {
    const stream = toDuplex(channel)
    const outer = over(stream, { protocol: 'length_prefixed', encoding: 'json' })
    const inner = over(new Duplex({ read() {}, write() {} }), { protocol: 'lines' })
    outer.on('message', () => {
      inner.send('never written')
      ready()
    })
  },

  async wakes() {
    channel.on('message', (_, fds) => fds.close())
    await once(channel, 'message')
    ready()
  },
}

await cases[name]()
