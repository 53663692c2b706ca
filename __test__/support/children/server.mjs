// A process with a channel that does what it is told: one JSON text a line, one answer each.
import { closeSync, openSync, readdirSync, statSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { adopt, bind, connect } from 'fdwire'

const openFds = () => readdirSync('/proc/self/fd').length
const answer = value => process.stdout.write(`${JSON.stringify(value)}\n`)
const failure = ({ name, code, message }) => ({ error: { name, code, message } })

const setup = JSON.parse(process.argv[2])
const OPTIONS = setup.options ?? { protocol: 'jsoncomm' }
if (setup.chdir !== undefined) process.chdir(setup.chdir)
if (setup.umask !== undefined) process.umask(setup.umask)
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
  /** The next message, and what this process has open once its descriptors are closed. */
  async receive() {
    const { value, fds, from, credentials } = await channel.receive()
    const count = fds.length
    fds.close()
    return { value, fds: count, from, credentials, open: openFds() }
  },
  /** What comes until 'end' comes: values, and the codes of what was malformed. */
  async collect() {
    const before = openFds()
    const got = []
    channel.on('malformed', error => got.push(error.code))
    await new Promise(resolve => {
      channel.on('message', (value, fds) => {
        got.push([value, fds.length])
        fds.close()
        if (value === 'end') resolve()
      })
      answer('ready')
    })
    return { got, leaked: openFds() - before }
  },
  async send({ value, options }) {
    return { kernel: channel.send(value, options) }
  },
  /** Sends with a descriptor of a device so many times, and gives what waits now. */
  async sendFds({ value, count }) {
    const fd = openSync('/dev/null', 'r')
    try {
      return { kernel: channel.send(value, { fds: Array(count).fill(fd) }), ...channel.stats }
    } finally {
      closeSync(fd)
    }
  },
  /** Opens until so many descriptors can be opened besides. */
  async exhaust({ left }) {
    try {
      for (;;) opened.push(openSync('/dev/zero', 'r'))
    } catch ({ code }) {
      for (const fd of opened.splice(-left)) closeSync(fd)
      return { code }
    }
  },
  async relax() {
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
      throw new Error('as told')
    })
    return {}
  },
}

for await (const line of createInterface({ input: process.stdin })) {
  const { call, ...rest } = JSON.parse(line)
  answer(await calls[call](rest).catch(failure))
}
