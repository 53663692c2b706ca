// Sends descriptors to channels that accept none, over every type of socket, and prints for each what
// `send` threw and what arrived.
import { once } from 'node:events'
import { adopt, bind, connect, listen, pair } from 'fdwire'

const TAKES = { protocol: 'raw', maxFds: 4 }
const REFUSES = { protocol: 'raw', maxFds: 0 }

/** Returns what a send throws, and what the receiver gets: a message, or the code of an error. */
async function exchange(sender, receiver, to) {
  const arrived = new Promise(resolve => {
    receiver.on('malformed', ({ code }) => resolve(code))
    receiver.on('message', value => resolve(String(value)))
    receiver.on('error', ({ code }) => resolve(code))
  })
  let thrown = null
  try {
    sender.send('with a descriptor', { fds: [0], to })
    await sender.flush()
  } catch (error) {
    thrown = error.code
    if (!sender.closed) sender.send('without', { to })
  }
  return { thrown, arrived: await arrived }
}

const results = {}
for (const type of ['seqpacket', 'dgram']) {
  const [one, other] = pair({ ...TAKES, type })
  const refusing = adopt(other.detach(), { ...REFUSES, type })
  refusing.on('message', () => {})
  results[`pair of ${type}`] = await exchange(one, refusing)
  one.destroy()
  refusing.destroy()
}
const server = await bind(null, { ...REFUSES, type: 'dgram' })
server.on('message', () => {})
const sender = await bind(null, { ...TAKES, type: 'dgram' })
results.bind = await exchange(sender, server, server.localAddress)
server.destroy()
sender.destroy()
const listener = await listen(null, { ...REFUSES, type: 'seqpacket' })
const client = await connect(listener.address, { ...TAKES, type: 'seqpacket' })
const accepted = once(listener, 'connection')
results.listen = await exchange(client, (await accepted)[0])
client.destroy()
await listener.close()
console.log(JSON.stringify(results))
process.exit()
