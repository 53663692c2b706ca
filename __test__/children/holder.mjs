// Adopts descriptor 3 as a channel, and does what it is told: a line in, a line out.
import { closeSync, openSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { adopt } from 'fdwire'

const channel = adopt(3, JSON.parse(process.argv[2]))
const told = []
const held = []
for (const event of ['malformed', 'error']) {
  channel.on(event, error => told.push([event, error.code]))
}

const does = {
  /** Receives a message, and keeps its descriptors. */
  async receive() {
    const { value, fds } = await channel.receive()
    held.push(fds)
    return { value, count: fds.length }
  },
  /** Reads until `count` events have been told. */
  async hear({ count }) {
    channel.on('message', () => {})
    while (told.length < count) await new Promise(resolve => setTimeout(resolve, 5))
    channel.removeAllListeners('message')
    return { told: told.splice(0) }
  },
  release() {
    for (const set of held.splice(0)) set.close()
    return {}
  },
  destroy() {
    channel.destroy()
    return {}
  },
  /** Sends a message with so many descriptors of a file, and closes them. */
  async send({ value, path, count }) {
    const fds = Array.from({ length: count }, () => openSync(path, 'r'))
    channel.send(value, { fds })
    for (const fd of fds) closeSync(fd)
    await channel.flush()
    return {}
  },
  /** Opens files until no more can be. */
  exhaust() {
    const fds = []
    try {
      for (;;) fds.push(openSync('/dev/null', 'r'))
    } catch {
      for (const fd of fds.splice(0, 4)) closeSync(fd)
    }
    return {}
  },
}

for await (const line of createInterface({ input: process.stdin })) {
  const { op, ...request } = JSON.parse(line)
  process.stdout.write(`${JSON.stringify(await does[op](request))}\n`)
}
