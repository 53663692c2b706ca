// The client. It opens nothing itself: it requests descriptors from the server and uses them.
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { adopt, connect } from 'fdwire'

const [, , directory] = process.argv
const log = line => console.log(`client  ${line}`)

process.on('disconnect', () => process.exit(1)) // main.mjs has exited
process.channel.unref()

const channel = await connect(`${directory}/demo.sock`, { protocol: 'jsoncomm' })
log('Connected. This process opens nothing itself: it requests descriptors from the server.\n')

/** Requests a descriptor. The reply has a value and a set that owns the descriptor. */
const request = async what => {
  const { value, fds } = await channel.request({ open: what }, { timeout: 5_000 })
  log(`Requested a ${what} and received a descriptor. The kernel says it is a ${fds.kind(0)}.`)
  return { value, fds }
}

// A file: the stream closes the descriptor at its end.
const file = await request('file')
log(`It contains: ${await text(file.fds.toReadStream(0))}`)

// A directory: Node reads a directory only by its path, so this uses the path of the descriptor.
const garden = await request('directory')
const names = readdirSync(`/proc/self/fd/${garden.fds.get(0)}`)
log(`It contains: ${names.sort().join(', ')}\n`)
garden.fds.close()

// A memfd: a file in memory, which has no path.
const memfd = await request('memfd')
log(`It contains: ${await text(memfd.fds.toReadStream(0))}`)

// A pipe: another process has written to its other end and closed it.
const pipe = await request('pipe')
log(`Read from it: ${await text(pipe.fds.toReadStream(0))}`)

// A listening TCP socket: the server has created it, and this process accepts its connections.
const listener = await request('listener')
const server = listener.fds.toServer(0)
const [caller] = await once(server, 'connection')
log(`Accepted a connection to port ${listener.value.port}; replying and closing it.`)
caller.end('"Hello from the client, which has not opened a port itself."\n')
await once(caller.resume(), 'close')
server.close()

// A Unix socket: one end of a pair, to measure the rate of messages.
const { fds } = await request('socket')
const socket = adopt(fds.take(0), { protocol: 'jsoncomm' })
await measure('messages', 'per second')
await measure('messages with one descriptor each', 'per second, with each descriptor closed')
socket.destroy()

channel.send({ bye: true })
await channel.close()

/** Counts messages until the last one, which contains their number, and prints the rate. */
async function measure(what, unit) {
  let count = 0
  let start
  const sent = await new Promise((resolve, reject) => {
    socket.on('message', function take({ number, last }, fds) {
      fds.close()
      start ??= performance.now()
      if (last !== undefined) {
        socket.off('message', take) // later messages wait for the next listener
        resolve(last)
      } else if (number !== count++) {
        reject(new Error(`Message ${number} is out of order`))
      }
    })
  })
  if (sent !== count) throw new Error(`${count} of ${sent} messages have arrived`)
  const rate = Math.round((count / (performance.now() - start)) * 1_000)
  log(`${count.toLocaleString('en')} ${what}, all in order: ${rate.toLocaleString('en')} ${unit}.`)
}
