// A worker of front.mjs: an HTTP server that does not listen.
import http from 'node:http'
import { adopt } from 'fdwire'
import { receiveConnections } from 'fdwire/dispatch'

const server = http.createServer((request, response) => {
  response.end(`Worker ${process.pid} serves ${request.url}\n`)
})
const channel = adopt(3, { protocol: 'jsoncomm', type: 'seqpacket' })
// Resolves when the front has ended. Then the worker exits when its connections have ended.
await receiveConnections(channel, server)
