// An HTTP server that can be replaced while it runs: node server.mjs [port]
// [path]
//
// Start it, then start it again in another terminal: the new process takes over from the old one,
// which exits. No request fails, under any load.
import { createServer } from 'node:http'
import { setTimeout } from 'node:timers/promises'
import { serve } from './handover.mjs'

const [, , port = '8080', control = '/tmp/fdwire-handover.sock'] = process.argv
const log = line => console.log(`${process.pid}  ${line}`)

const server = createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://localhost')
  // A slow request is answered by the process that has read it.
  if (pathname === '/slow') await setTimeout(Number(searchParams.get('ms') ?? 1_000))
  response.end(`${process.pid}\n`)
})
server.keepAliveTimeout = 60_000

const service = await serve(server, { address: { host: '127.0.0.1', port: Number(port) }, control })
log(`${service.inherited ? 'Took over' : 'Listening on'} port ${server.address().port}.`)
process.once('SIGTERM', () => service.close())
process.once('SIGINT', () => service.close())

await service.ended
log('Everything is handed over or closed; exiting.')
