// A front that serves HTTP with worker processes: node front.mjs [port] [workers]
//
// Requests of one client address go to one worker. A worker that dies is replaced; only the
// connections that it had are lost.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'
import { fileURLToPath } from 'node:url'
import { pair } from 'fdwire'
import { Dispatcher } from 'fdwire/dispatch'

const [port = '8080', count = '2'] = process.argv.slice(2)
const WORKER = fileURLToPath(new URL('worker.mjs', import.meta.url))

const dispatcher = new Dispatcher({
  pick: ({ remoteAddress = '' }) => {
    const { workers } = dispatcher
    return workers[hash(remoteAddress) % workers.length]
  },
})
dispatcher.on('drop', ({ reason }) => console.log(`A connection was closed: ${reason}`))

function startWorker() {
  const [ours, theirs] = pair({ protocol: 'jsoncomm', type: 'seqpacket' })
  // The channel is descriptor 3 of the worker.
  const child = spawn(process.execPath, [WORKER], {
    stdio: ['ignore', 'inherit', 'inherit', theirs.fd],
  })
  theirs.destroy()
  child.once('exit', (code, signal) => {
    console.log(`Worker ${child.pid} has ended (${signal ?? code}), starting another.`)
    startWorker()
  })
  dispatcher.add(ours)
}

/** Returns a number for a text, the same one for the same text (FNV-1a). */
function hash(text) {
  let value = 0x811c9dc5
  for (const byte of Buffer.from(text)) value = Math.imul(value ^ byte, 0x01000193) >>> 0
  return value
}

for (let i = 0; i < Number(count); i++) startWorker()
const server = net.createServer()
dispatcher.attach(server)
server.listen(Number(port))
await once(server, 'listening')
console.log(`Listening on port ${server.address().port}.`)
