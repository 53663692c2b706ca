/** A server that others flood. It answers requests, and counts what the flood brings. */
import { bind, listen } from 'fdwire'
import { memory, openFds } from '../accounts.mjs'

const { folder } = JSON.parse(process.argv[2])
process.on('disconnect', () => process.exit())

let flooded = 0
let mostFds = 0
let lateness = 0

const onChannel = channel => {
  channel.on('message', (value, fds, from) => {
    fds.close()
    if (typeof value?.i === 'number') channel.send(value, from === undefined ? {} : { to: from })
    else flooded++
  })
  channel.on('malformed', () => flooded++)
  channel.on('error', () => {})
}
const onConnection = channel => {
  // A flood of connections says nothing.
  flooded++
  onChannel(channel)
}

const listeners = [
  await listen(`${folder}/stream`, { protocol: 'length_prefixed', encoding: 'json', maxFds: 8 }),
  await listen(`${folder}/seqpacket`, {
    protocol: 'jsoncomm',
    type: 'seqpacket',
    maxConnections: 50,
  }),
]
for (const listener of listeners) listener.on('connection', onConnection)
onChannel(await bind(`${folder}/dgram`, { protocol: 'jsoncomm' }))

/** Milliseconds between two runs of a timer, and how late it is at most. */
const PERIOD = 10
let last = performance.now()
setInterval(() => {
  const now = performance.now()
  lateness = Math.max(lateness, Math.round(now - last - PERIOD))
  last = now
  mostFds = Math.max(mostFds, openFds())
}, PERIOD)

process.on('message', () => {
  process.send({ flooded, mostFds, lateness, ...memory() })
})
process.send({ open: openFds('self') - 1 })
