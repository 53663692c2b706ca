// A process with a channel that does what it is told: one JSON text a line, one answer each.
import { readdirSync, statSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { adopt, bind, connect } from 'fdwire'

const OPTIONS = { protocol: 'jsoncomm' }
const openFds = () => readdirSync('/proc/self/fd').length
const answer = value => process.stdout.write(`${JSON.stringify(value)}\n`)
const failure = ({ name, code, message }) => ({ error: { name, code, message } })

const setup = JSON.parse(process.argv[2])
if (setup.chdir !== undefined) process.chdir(setup.chdir)
if (setup.umask !== undefined) process.umask(setup.umask)
if (setup.uid !== undefined) process.setuid(setup.uid)

/** @type {import('fdwire').Channel} */
let channel

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
