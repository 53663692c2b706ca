// Sends some whole messages and half of one, with a descriptor, and waits to be killed.
import { openSync } from 'node:fs'
import { connect } from 'fdwire'

const { path, type, whole, half } = JSON.parse(process.argv[2])
const channel = await connect(path, { protocol: 'raw', type, maxFds: 253 })
channel.on('error', () => {})
channel.send(whole)
try {
  channel.send(half, { fds: [openSync('/dev/null', 'r')] })
  await channel.flush()
} catch {
  // Newer kernels refuse to send descriptors to a socket that takes none.
}
console.log('half sent')
setInterval(() => {}, 1_000)
