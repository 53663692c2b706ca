// A worker of a dispatcher: an HTTP server over the channel at descriptor 3. It responds with its
// process id, and to /hold never. The argument is its RLIMIT_NOFILE, if any.
import http from 'node:http'
import { adopt } from 'fdwire'
import { receiveConnections } from 'fdwire/dispatch'
import { limitFds } from './limit-fds.mjs'

const [limit] = process.argv.slice(2)
if (limit !== undefined) limitFds(limit)

const channel = adopt(3, { protocol: 'jsoncomm', type: 'seqpacket' })
const server = http.createServer((request, response) => {
  if (request.url === '/hold') response.write('held')
  else response.end(String(process.pid))
})
const ended = receiveConnections(channel, server)
console.log('{}')
await ended
