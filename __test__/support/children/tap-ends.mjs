// One end of a tapped connection: `send` sends messages with 253 descriptors each, `receive` checks
// that every descriptor of every message arrives in order. Prints a line of JSON with the time.
import { once } from 'node:events'
import { closeSync, readFileSync } from 'node:fs'
import { connect, createMemfd, listen } from 'fdwire'

const [role, path, count, options] = process.argv.slice(2)
const total = Number(count)
const FDS = 253
const setup = { ...JSON.parse(options), encoding: 'json', maxFds: FDS, maxOpenFds: 2 * FDS }

if (role === 'send') {
  const channel = await connect(path, setup)
  const fds = Array.from({ length: FDS }, (_, index) => createMemfd(String(index)).take(0))
  const start = performance.now()
  for (let n = 0; n < total; n++) {
    if (!channel.send({ n }, { fds })) await once(channel, 'drain')
  }
  const { value } = await channel.receive()
  console.log(JSON.stringify({ received: value, ms: performance.now() - start }))
  for (const fd of fds) closeSync(fd)
  await channel.close()
} else {
  const server = await listen(path, setup)
  console.log('{}')
  const [channel] = await once(server, 'connection')
  let n = 0
  for await (const { value, fds } of channel) {
    if (value.n !== n || fds.length !== FDS) throw new Error(`${value.n}: ${fds.length}, not ${n}`)
    // The content of one descriptor per message shows that it is the right one.
    const index = n % FDS
    const content = readFileSync(`/proc/self/fd/${fds.get(index)}`, 'utf8')
    if (content !== String(index)) throw new Error(`descriptor ${index} is ${content}`)
    fds.close()
    if (++n === total) channel.send(n)
  }
  console.log(JSON.stringify({ received: n }))
  await server.close()
}
