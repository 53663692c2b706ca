// Opens what it is asked for, and sends the open descriptors.
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, mkdirSync, openSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { bind, pair } from 'fdwire'

const [, , directory] = process.argv
const say = line => console.log(`server  ${line}`)

process.on('disconnect', () => process.exit(1)) // main.mjs is gone
process.channel.unref()

const channel = await bind(`${directory}/demo.sock`, { protocol: 'jsoncomm' })

// Node can make neither a memfd nor a pipe. Python can, and it speaks jsoncomm with nothing but its
// standard library; so the server is the first here to get descriptors, and will send them on.
const helper = fileURLToPath(new URL('helper.py', import.meta.url))
await promisify(execFile)('python3', [helper, `${directory}/demo.sock`])
const { fds: made } = await channel.receive({ timeout: 5_000 })
say(`A Python program has sent me a ${made.kind(0)} and a ${made.kind(1)}. I wait for a client.`)
process.send('ready')

/** What a client can ask for; each sends one message with one descriptor. */
const answer = {
  file(to) {
    const path = `${directory}/letter.txt`
    writeFileSync(path, 'Dear reader, I had a name, but it was deleted before you got me.\n')
    const fd = openSync(path, 'r')
    rmSync(path) // the descriptor is now the only way to the file
    channel.send({ opened: 'file' }, { to, fds: [fd] })
    closeSync(fd) // ours; what is sent is on its way
  },
  directory(to) {
    const path = `${directory}/garden`
    mkdirSync(path)
    for (const name of ['apple', 'pear', 'plum']) writeFileSync(`${path}/${name}`, '')
    const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)
    channel.send({ opened: 'directory' }, { to, fds: [fd] })
    closeSync(fd)
  },
  memfd(to) {
    channel.send({ opened: 'memfd' }, { to, fds: [made.get(0)] }) // lent: the set closes it
  },
  pipe(to) {
    channel.send({ opened: 'pipe' }, { to, fds: [made.get(1)] })
  },
  async listener(to) {
    const server = net.createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address()
    channel.send({ opened: 'listener', port }, { to, fds: [server] })
    server.close() // here; the port goes on listening where the descriptor is
    call(port)
  },
  /** A socket pair: two connected sockets, one for the client, one to send as fast as it goes. */
  async line(to) {
    const [mine, yours] = pair({ protocol: 'jsoncomm' })
    channel.send({ opened: 'line' }, { to, fds: [yours.fd] })
    yours.destroy()
    await burst(mine, undefined)
    await burst(mine, { fds: [made.get(0)] })
    await mine.close()
  },
}

for await (const { value, from } of channel) {
  if (value.bye) break
  await answer[value.open](from)
}
made.close()
await channel.close() // this removes the path, too
say('My client has said goodbye. I have closed my socket and removed its path.')

/** Calls a port, as anybody on this machine could, and says who answered. */
async function call(port) {
  const caller = net.connect(port, '127.0.0.1')
  say(`I have called port ${port}, and was answered: ${await text(caller)}`)
}

/** Sends for a second, and waits whenever the receiver is behind. */
async function burst(line, options) {
  const end = performance.now() + 1_000
  let sent = 0
  while (performance.now() < end) {
    if (!line.send({ number: sent++ }, options)) await once(line, 'drain')
  }
  line.send({ last: sent })
}
