// A socket-activated service: systemd starts it with the first client, knows when it is ready and
// what it does, restarts it if it hangs, and its log is in the journal.
import { listen } from 'fdwire'
import { journal, listenFds, ready, status, stopping, watchdog } from 'fdwire/systemd'

const [socket] = listenFds()
if (socket === undefined) throw new Error('Start it by systemd-socket-activate or greeter.socket')
const listener = await listen({ fd: socket.fd }, { protocol: 'lines' })

let greetings = 0
void listener.serve(name => {
  status(`${++greetings} greetings`)
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
