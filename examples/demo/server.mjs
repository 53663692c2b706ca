// The server. It opens what the client requests, and sends the descriptors.
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

process.on('disconnect', () => process.exit(1)) // main.mjs has exited
process.channel.unref()

const channel = await bind(`${directory}/demo.sock`, { protocol: 'jsoncomm' })

// Node cannot create a pipe, so a Python program creates one and a memfd. It needs only the
// standard library to send them as a jsoncomm message. The server receives them here and later
// sends them to the client.
const helper = fileURLToPath(new URL('helper.py', import.meta.url))
await promisify(execFile)('python3', [helper, `${directory}/demo.sock`])
const { fds: made } = await channel.receive({ timeout: 5_000 })
log(`Received a ${made.kind(0)} and a ${made.kind(1)} from a Python program. Waiting for a client.`)
process.send('ready')

/** The kinds that a client can request. Each function sends one message with one descriptor. */
const open = {
  file(to) {
    const path = `${directory}/letter.txt`
    writeFileSync(path, 'The path of this file was removed before the file was sent.\n')
    const fd = openSync(path, 'r')
    rmSync(path) // from now on the file is accessible only through descriptors
    channel.send({ opened: 'file' }, { to, fds: [fd] })
    closeSync(fd) // the kernel or the channel's queue holds a duplicate
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
    channel.send({ opened: 'memfd' }, { to, fds: [made.get(0)] }) // borrowed: the set still owns it
  },
  pipe(to) {
    channel.send({ opened: 'pipe' }, { to, fds: [made.get(1)] })
  },
  async listener(to) {
    const server = net.createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address()
    channel.send({ opened: 'listener', port }, { to, fds: [server] })
    server.close() // the port stays open, because the sent descriptor does
    call(port)
  },
  /** A socketpair: one end for the client, one end to send messages as fast as possible. */
  async socket(to) {
    const [mine, yours] = pair({ protocol: 'jsoncomm' })
    channel.send({ opened: 'socket' }, { to, fds: [yours.fd] })
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
log('The client has finished. The socket is closed, and its path is removed.')

/** Connects to a port, as any process on this machine can, and prints the reply. */
async function call(port) {
  const caller = net.connect(port, '127.0.0.1')
  log(`Connected to port ${port} and received: ${await text(caller)}`)
}

/** Sends messages for a second, and waits whenever one is queued. */
async function burst(socket, options) {
  const end = performance.now() + 1_000
  let sent = 0
  while (performance.now() < end) {
    if (!socket.send({ number: sent++ }, options)) await once(socket, 'drain')
  }
  socket.send({ last: sent })
}
