// A process with one channel. Reads one JSON request per line and writes one JSON reply per line.
import { closeSync, openSync, readdirSync, statSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { adopt, bind, connect } from 'fdwire'
import { limitFds } from './limit-fds.mjs'

const openFds = () => readdirSync('/proc/self/fd').length
const reply = value => process.stdout.write(`${JSON.stringify(value)}\n`)
const failure = ({ name, code, message }) => ({ error: { name, code, message } })

const setup = JSON.parse(process.argv[2])
const OPTIONS = setup.options ?? { protocol: 'jsoncomm' }
if (setup.chdir !== undefined) process.chdir(setup.chdir)
if (setup.umask !== undefined) process.umask(setup.umask)
if (setup.limit !== undefined) limitFds(setup.limit)
if (setup.uid !== undefined) process.setuid(setup.uid)

/** @type {import('fdwire').Channel} */
let channel
const opened = []

const calls = {
  async bind({ path, options }) {
    channel = await bind(path, { ...OPTIONS, ...options })
    return path.startsWith('\0') ? {} : { mode: statSync(path).mode & 0o7777 }
  },
  async connect({ path, options }) {
    channel = await connect(path, { ...OPTIONS, ...options })
    return { name: channel.localAddress }
  },
  async adopt({ fd }) {
    channel = adopt(fd, OPTIONS)
    return {}
  },
  /** Receives a message, closes its descriptors and counts those that remain open. */
  async receive() {
    const { value, fds, from, credentials } = await channel.receive()
    const count = fds.length
    fds.close()
    return { value, fds: count, from, credentials, open: openFds() }
  },
  /** Receives until the value 'end': [value, number of descriptors], or the code of an error. */
  async collect() {
    const before = openFds()
    const received = []
    channel.on('malformed', error => received.push(error.code))
    await new Promise(resolve => {
      channel.on('message', (value, fds) => {
        received.push([value, fds.length])
        fds.close()
        if (value === 'end') resolve()
      })
      reply('ready')
    })
    return { received, leaked: openFds() - before }
  },
  async send({ value, options }) {
    return { kernel: channel.send(value, options) }
  },
  /** Sends a message with `count` descriptors of a device and returns the statistics. */
  async sendFds({ value, count }) {
    const fd = openSync('/dev/null', 'r')
    try {
      return { kernel: channel.send(value, { fds: Array(count).fill(fd) }), ...channel.stats }
    } finally {
      closeSync(fd)
    }
  },
  /** Opens descriptors until only `left` more can be opened. */
  async exhaust({ left }) {
    try {
      for (;;) opened.push(openSync('/dev/zero', 'r'))
    } catch ({ code }) {
      for (const fd of opened.splice(-left)) closeSync(fd)
      return { code }
    }
  },
  async release() {
    for (const fd of opened.splice(0)) closeSync(fd)
    return {}
  },
  async stats() {
    return { ...channel.stats, closed: channel.closed }
  },
  async flush() {
    await channel.flush()
    return channel.stats
  },
  async close() {
    await channel.close()
    return {}
  },
  async chdir({ path }) {
    process.chdir(path)
    return {}
  },
  async exit() {
    process.exit(7)
  },
  async throw() {
    setImmediate(() => {
      throw new Error('requested')
    })
    return {}
  },
}

for await (const line of createInterface({ input: process.stdin })) {
  const { call, ...rest } = JSON.parse(line)
  reply(await calls[call](rest).catch(failure))
}
