// Opens nothing itself: all it knows of the world comes as descriptors from the server.
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { adopt, connect } from 'fdwire'

const [, , directory] = process.argv
const say = line => console.log(`client  ${line}`)

process.on('disconnect', () => process.exit(1)) // main.mjs is gone
process.channel.unref()

const channel = await connect(`${directory}/demo.sock`, { protocol: 'jsoncomm' })
say('I am connected. I open nothing myself: I ask the server, and use the descriptors it sends.\n')

/** Asks for something; what comes is the reply's value, and the set that owns its descriptors. */
const ask = async what => {
  const { value, fds } = await channel.request({ open: what }, { timeout: 5_000 })
  say(`I asked for a ${what} and got a descriptor. The kernel says it is a ${fds.kind(0)}.`)
  return { value, fds }
}

// A file: read as a stream, which closes the descriptor at its end.
const file = await ask('file')
say(`It says: ${await text(file.fds.toReadStream(0))}`)

// A directory: Node reads directories by path only, so the path is the descriptor's own.
const garden = await ask('directory')
const names = readdirSync(`/proc/self/fd/${garden.fds.get(0)}`)
say(`In it are ${names.sort().join(', ')}.\n`)
garden.fds.close()

// A memfd: a file that never was in a file system.
const memfd = await ask('memfd')
say(`It says: ${await text(memfd.fds.toReadStream(0))}`)

// A pipe, whose other end was written to and closed by another process.
const pipe = await ask('pipe')
say(`Out of it comes: ${await text(pipe.fds.toReadStream(0))}`)

// A TCP port on which the server listened, and now this process does.
const listener = await ask('listener')
const server = listener.fds.toServer(0)
const [caller] = await once(server, 'connection')
say(`Somebody calls port ${listener.value.port}. I accept, answer and hang up.`)
caller.end('"Hello from the client, who never asked the kernel for a port."\n')
await once(caller.resume(), 'close')
server.close()

// A Unix socket: the other end of a pair, for a measurement.
const { fds } = await ask('line')
const line = adopt(fds.take(0), { protocol: 'jsoncomm' })
await measure('messages', 'a second')
await measure('messages with a descriptor each', 'a second, each descriptor received and closed')
line.destroy()

channel.send({ bye: true })
await channel.close()

/** Counts what comes until the server says how many it has sent. */
async function measure(what, unit) {
  let count = 0
  let begin
  const sent = await new Promise((resolve, reject) => {
    line.on('message', function take({ number, last }, fds) {
      fds.close()
      begin ??= performance.now()
      if (last !== undefined) {
        line.off('message', take) // what comes next waits for the next listener
        resolve(last)
      } else if (number !== count++) {
        reject(new Error(`Message ${number} came out of its turn`))
      }
    })
  })
  if (sent !== count) throw new Error(`${sent} messages were sent, ${count} came`)
  const rate = Math.round((count / (performance.now() - begin)) * 1_000)
  say(`${count.toLocaleString('en')} ${what}, all in order: ${rate.toLocaleString('en')} ${unit}.`)
}
