// The server. It opens what the client requests, and replies with the descriptors.
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { constants, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import net from 'node:net'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { bind, listen, pair, Reply } from 'fdwire'

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

/** The kinds that a client can request. Each function returns a reply with one descriptor. */
const kinds = {
  async file() {
    const path = `${directory}/letter.txt`
    writeFileSync(path, 'The path of this file was removed before the file was sent.\n')
    const file = await open(path)
    rmSync(path) // from now on the file is accessible only through descriptors
    return reply('file', file) // `serve` closes the file once it is sent
  },
  async directory() {
    const path = `${directory}/garden`
    mkdirSync(path, { recursive: true })
    for (const name of ['apple', 'pear', 'plum']) writeFileSync(`${path}/${name}`, '')
    return reply('directory', await open(path, constants.O_RDONLY | constants.O_DIRECTORY))
  },
  memfd: () => reply('memfd', made.get(0)), // borrowed: the set still owns it
  pipe: () => reply('pipe', made.get(1)),
  async listener() {
    const listener = await listen({ host: '127.0.0.1', port: 0 }, { protocol: 'raw' })
    const { port } = listener.address
    call(listener).catch(error => log(`Port ${port}: ${error.message}`))
    return new Reply({ opened: 'listener', port }, { fds: [listener] })
  },
  /** A socketpair: one end for the client, one end to send messages as fast as possible. */
  socket() {
    const [mine, yours] = pair({ protocol: 'jsoncomm' })
    bursts(mine).catch(() => mine.destroy()) // the client has closed its end
    return reply('socket', yours.detach())
  },
}

function reply(opened, fd) {
  return new Reply({ opened }, { fds: [fd] })
}

const finished = new AbortController()
await channel.serve(
  request => {
    // A client may send anything: only the names above are served, and no inherited property.
    if (request?.bye) finished.abort()
    else if (Object.hasOwn(kinds, request?.open)) return kinds[request.open]()
    else return { error: 'Unknown request' }
  },
  { onError: error => ({ error: error.message }), signal: finished.signal },
)
made.close()
await channel.close() // this also removes the path
log('The client has finished. The socket is closed, and its path is removed.')

/** Connects to a port, as any process on this machine can, and prints the reply. */
async function call(listener) {
  const { port } = listener.address
  const caller = net.connect(port, '127.0.0.1')
  await once(caller, 'connect')
  await listener.close() // the port stays open, because the client has the descriptor
  log(`Connected to port ${port} and received: ${await text(caller)}`)
}

/** Sends messages without descriptors, and then messages with one. */
async function bursts(socket) {
  await burst(socket, undefined)
  await burst(socket, { fds: [made.get(0)] })
  await socket.close()
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
