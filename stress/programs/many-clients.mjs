/** A process with many connections to one server. */
import { execFileSync } from 'node:child_process'
import { connect } from 'fdwire'

const { type, address, connections, nofile } = JSON.parse(process.argv[2])
execFileSync('prlimit', ['--pid', String(process.pid), `--nofile=${nofile}`])
process.on('disconnect', () => process.exit())

const protocols = {
  stream: { protocol: 'length_prefixed', encoding: 'json' },
  seqpacket: { protocol: 'jsoncomm', type: 'seqpacket' },
}
/** Connections that are made at once: fewer than the backlog. */
const AT_ONCE = 100
const channels = []
while (channels.length < connections) {
  const next = Math.min(AT_ONCE, connections - channels.length)
  const made = Array.from({ length: next }, () =>
    connect(address, { ...protocols[type], timeout: 0 }),
  )
  channels.push(...(await Promise.all(made)))
}

const requests = {
  async request() {
    const replies = await Promise.all(channels.map((one, i) => one.request({ i }, { timeout: 0 })))
    return replies.filter(({ value }, i) => value.i === i).length
  },
  async close() {
    await Promise.all(channels.map(channel => channel.close()))
    return 0
  },
}
process.on('message', async request => process.send({ replies: await requests[request]() }))
process.send('connected')
