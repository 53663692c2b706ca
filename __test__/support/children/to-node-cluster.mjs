// A node:cluster worker passes received listening sockets to Node and accepts connections on them.
import cluster from 'node:cluster'
import { once } from 'node:events'
import net from 'node:net'
import { text } from 'node:stream/consumers'
import { pair } from 'fdwire'

/** Receives a listening socket in a message and closes the server that sent it. */
async function receivedListener(options) {
  const original = net.createServer().listen({ ...options, exclusive: true })
  await once(original, 'listening')
  const address = original.address()
  const [a, b] = pair({ protocol: 'jsoncomm' })
  a.send('listener', { fds: [original] })
  const { fds } = await b.receive()
  await Promise.all([a.close(), b.close()])
  original.close()
  return { fds, to: typeof address === 'string' ? { path: address } : { port: address.port } }
}

if (cluster.isPrimary) {
  await once(cluster.fork(), 'exit')
} else {
  for (const [name, options] of [
    ['unix', { path: `\0fdwire-cluster-${process.pid}` }],
    ['tcp', { port: 0, host: '127.0.0.1' }],
  ]) {
    const { fds, to } = await receivedListener(options)
    const server = fds.toServer(0, {}, socket => socket.end('from the worker'))
    const output = await text(net.connect(to))
    process.stdout.write(`${name}: ${output}\n`)
    server.close()
  }
  cluster.worker.disconnect()
}
