/**
 * A server whose RLIMIT_NOFILE the parent changes. It answers each message with how many descriptors came,
 * or with the code of what made it malformed.
 */
import { bind, connect, createMemfd, listen, pair } from 'fdwire'

const { folder } = JSON.parse(process.argv[2])
const STREAM = { protocol: 'length_prefixed', encoding: 'json', maxFds: 8 }
const DATAGRAMS = { protocol: 'jsoncomm', maxFds: 8 }
let warnings = 0
let most = 0
process.on('warning', () => warnings++)
process.on('disconnect', () => process.exit())

const listener = await listen(`${folder}/stream`, STREAM)
listener.on('connection', channel => {
  most = Math.max(most, listener.connections)
  answer(channel)
})
const bound = await bind(`${folder}/dgram`, DATAGRAMS)
answer(bound)
const [held] = pair(DATAGRAMS)

function answer(channel) {
  const reply = (value, to) => channel.send(value, to === undefined ? {} : { to })
  channel.on('message', (_, fds, from) => {
    const count = fds.length
    fds.close()
    reply({ fds: count }, from)
  })
  channel.on('malformed', (error, from) => reply({ malformed: error.code }, from))
}

/** What opens descriptors. Each leaves nothing open if it fails. */
const openers = {
  pair: () => pair(DATAGRAMS),
  listen: () => listen(`${folder}/another`, STREAM),
  bind: () => bind(null, DATAGRAMS),
  connect: () => connect(`${folder}/stream`, STREAM),
  createMemfd: () => createMemfd('content'),
  /** Direct sending opens nothing; a queued message has duplicates. */
  queue: () => {
    while (held.send('waits', { fds: [held.fd] })) {}
  },
}

async function attempt() {
  const codes = {}
  for (const [name, open] of Object.entries(openers)) {
    try {
      await open()
      codes[name] = 'opened'
    } catch (error) {
      codes[name] = error.code
    }
  }
  return codes
}

process.on('message', async request => {
  process.send({ most, warnings, codes: request === 'attempt' ? await attempt() : undefined })
})
process.send('ready')
