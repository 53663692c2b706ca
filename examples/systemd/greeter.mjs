// A socket-activated service: systemd starts it with the first client, knows when it is ready and
// what it does, restarts it if it hangs, and its log is in the journal. The number of its greetings
// is in memory that systemd keeps while it is restarted.
import { readSync, writeSync } from 'node:fs'
import { createMemfd, FdSet, listen } from 'fdwire'
import { journal, listenFds, ready, status, stopping, storeFds, watchdog } from 'fdwire/systemd'

const passed = listenFds()
const socket = passed.find(({ kind }) => kind === 'unix-listener')
if (socket === undefined) throw new Error('Start it by systemd-socket-activate or greeter.socket')
const listener = await listen({ fd: socket.fd }, { protocol: 'lines' })

// FDSTORE: the first process creates the memory, and later ones get it back.
const stored = passed.find(({ name }) => name === 'count')
const memory = stored ? FdSet.from([stored.fd]) : createMemfd(4)
if (!stored) await storeFds('count', memory)
const count = new Uint32Array(1)
readSync(memory.get(0), count, { position: 0 })

void listener.serve(name => {
  count[0]++
  writeSync(memory.get(0), count, 0, 4, 0)
  status(`${count[0]} greetings`).catch(() => {}) // systemd is busy
  return `Hello ${name}`
})

process.once('SIGTERM', async () => {
  await stopping()
  await listener.close()
  process.exit()
})

watchdog()?.start()
await journal({ MESSAGE: `Listening on ${socket.name}`, SOCKET_KIND: socket.kind })
await ready()
