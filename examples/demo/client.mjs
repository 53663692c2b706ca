// The client. It opens nothing itself: it asks the server, and uses the descriptors that arrive.
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { adopt, connect } from 'fdwire'

const [, , directory] = process.argv
const log = line => console.log(`client  ${line}`)

process.on('disconnect', () => process.exit(1)) // main.mjs has ended
process.channel.unref()

const channel = await connect(`${directory}/demo.sock`, { protocol: 'jsoncomm' })
log('I am connected. I open nothing myself: I ask the server, and use the descriptors it sends.\n')

/** Asks for a descriptor; the reply has a value, and a set that owns the descriptor. */
const ask = async what => {
  const { value, fds } = await channel.request({ open: what }, { timeout: 5_000 })
  log(`I asked for a ${what} and got a descriptor. The kernel says it is a ${fds.kind(0)}.`)
  return { value, fds }
}

// A file: the stream closes the descriptor at its end.
const file = await ask('file')
log(`It says: ${await text(file.fds.toReadStream(0))}`)

// A directory: Node reads directories only by path, so use the path of the descriptor.
const garden = await ask('directory')
const names = readdirSync(`/proc/self/fd/${garden.fds.get(0)}`)
log(`In it are ${names.sort().join(', ')}.\n`)
garden.fds.close()

// A memfd: a file that has never been in a file system.
const memfd = await ask('memfd')
log(`It says: ${await text(memfd.fds.toReadStream(0))}`)

// A pipe: another process has written to its other end and closed it.
const pipe = await ask('pipe')
log(`Out of it comes: ${await text(pipe.fds.toReadStream(0))}`)

// A TCP port: the server has listened there, and now this process does.
const listener = await ask('listener')
const server = listener.fds.toServer(0)
const [caller] = await once(server, 'connection')
log(`A connection to port ${listener.value.port} arrives. I accept, answer and close it.`)
caller.end('"Hello from the client, who never asked the kernel for a port."\n')
await once(caller.resume(), 'close')
server.close()

// A Unix socket: one end of a pair, to measure the rate of messages.
const { fds } = await ask('line')
const line = adopt(fds.take(0), { protocol: 'jsoncomm' })
await measure('messages', 'a second')
await measure('messages with a descriptor each', 'a second, each descriptor received and closed')
line.destroy()

channel.send({ bye: true })
await channel.close()

/** Counts messages until one says how many were sent. */
async function measure(what, unit) {
  let count = 0
  let begin
  const sent = await new Promise((resolve, reject) => {
    line.on('message', function take({ number, last }, fds) {
      fds.close()
      begin ??= performance.now()
      if (last !== undefined) {
        line.off('message', take) // the next messages wait for the next listener
        resolve(last)
      } else if (number !== count++) {
        reject(new Error(`Message ${number} is out of order`))
      }
    })
  })
  if (sent !== count) throw new Error(`${sent} messages were sent, and ${count} arrived`)
  const rate = Math.round((count / (performance.now() - begin)) * 1_000)
  log(`${count.toLocaleString('en')} ${what}, all in order: ${rate.toLocaleString('en')} ${unit}.`)
}
