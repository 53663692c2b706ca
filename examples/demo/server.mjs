// The server. It opens what the client asks for, and sends the descriptors.
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, mkdirSync, openSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { bind, pair } from 'fdwire'

const [, , directory] = process.argv
const log = line => console.log(`server  ${line}`)

process.on('disconnect', () => process.exit(1)) // main.mjs has ended
process.channel.unref()

const channel = await bind(`${directory}/demo.sock`, { protocol: 'jsoncomm' })

// Node can create neither a memfd nor a pipe. Python can, and needs only its standard library to
// send them as a jsoncomm message. The server receives them here, and will send them on to the
// client.
const helper = fileURLToPath(new URL('helper.py', import.meta.url))
await promisify(execFile)('python3', [helper, `${directory}/demo.sock`])
const { fds: made } = await channel.receive({ timeout: 5_000 })
log(`A Python program has sent me a ${made.kind(0)} and a ${made.kind(1)}. I wait for a client.`)
process.send('ready')

/** What a client can ask for. Each function sends one message with one descriptor. */
const open = {
  file(to) {
    const path = `${directory}/letter.txt`
    writeFileSync(path, 'Dear reader, I had a name, but it was deleted before you got me.\n')
    const fd = openSync(path, 'r')
    rmSync(path) // the descriptor is now the only way to the file
    channel.send({ opened: 'file' }, { to, fds: [fd] })
    closeSync(fd) // the kernel, or the channel's queue, has a descriptor of its own
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
    channel.send({ opened: 'memfd' }, { to, fds: [made.get(0)] }) // lent: the set still owns it
  },
  pipe(to) {
    channel.send({ opened: 'pipe' }, { to, fds: [made.get(1)] })
  },
  async listener(to) {
    const server = net.createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address()
    channel.send({ opened: 'listener', port }, { to, fds: [server] })
    server.close() // the port stays open, because the descriptor that was sent does
    call(port)
  },
  /** A socketpair: one end for the client, one end to send messages as fast as possible. */
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
  await open[value.open](from)
}
made.close()
await channel.close() // this also removes the path
log('My client has said goodbye. I have closed my socket and removed its path.')

/** Connects to a port, as any process on this machine can, and prints the answer. */
async function call(port) {
  const caller = net.connect(port, '127.0.0.1')
  log(`I have called port ${port}, and was answered: ${await text(caller)}`)
}

/** Sends for a second, and waits whenever a message had to be queued. */
async function burst(line, options) {
  const end = performance.now() + 1_000
  let sent = 0
  while (performance.now() < end) {
    if (!line.send({ number: sent++ }, options)) await once(line, 'drain')
  }
  line.send({ last: sent })
}
