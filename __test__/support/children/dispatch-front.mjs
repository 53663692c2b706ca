// A dispatcher that waits for the first byte of each connection, and a worker process. The
// argument is its RLIMIT_NOFILE.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import net from 'node:net'
import { fileURLToPath } from 'node:url'
import { pair } from 'fdwire'
import { Dispatcher } from 'fdwire/dispatch'
import { limitFds } from './limit-fds.mjs'

const [ours, theirs] = pair({ protocol: 'jsoncomm', type: 'seqpacket' })
const program = fileURLToPath(new URL('dispatch-worker.mjs', import.meta.url))
spawn(process.execPath, [program], { stdio: ['ignore', 'ignore', 'inherit', theirs.fd] })
theirs.destroy()

const dispatcher = new Dispatcher({ peek: 1, peekTimeout: 0 })
const server = net.createServer()
dispatcher.attach(server)
server.listen(0, '127.0.0.1')
await once(server, 'listening')
dispatcher.add(ours)
// The worker has announced its window.
await once(ours, 'message')
limitFds(process.argv[2])
console.log(JSON.stringify({ port: server.address().port }))
