/** A worker serves connections with the servers that Node and ws provide. */
import { EventEmitter, once } from 'node:events'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import net from 'node:net'
import { text } from 'node:stream/consumers'
import { Dispatcher, receiveConnections } from 'fdwire/dispatch'
import { expect, it } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import {
  accepted,
  afterTest,
  channels,
  client,
  eventually,
  front,
  httpServer,
  received,
} from '../support/dispatch.js'
import { testPath } from '../support/processes.js'

const PEM = readFileSync(testPath('support/fixtures/tls.pem'))

/** Adds a worker that serves with `server`. */
function serveWith(dispatcher: Dispatcher, server: EventEmitter): void {
  const [ours, theirs] = channels()
  receiveConnections(theirs, server)
  dispatcher.add(ours)
}

it('https: the front picks by the name in the TLS handshake (SNI), and the worker decrypts', async () => {
  const seen: number[] = []
  const { dispatcher, port } = await front({
    peek: 64,
    pick: (_, head) => {
      seen.push(head.readUInt8(0))
      const index = ['one.localhost', 'two.localhost'].findIndex(name => head.includes(name))
      return dispatcher.workers[index]
    },
  })
  for (const name of ['one', 'two']) {
    const server = https.createServer({ key: PEM, cert: PEM }, (_, response) => response.end(name))
    afterTest(() => server.closeAllConnections())
    serveWith(dispatcher, server)
  }
  for (const name of ['two', 'one']) {
    const request = https.get({
      host: '127.0.0.1',
      port,
      servername: `${name}.localhost`,
      rejectUnauthorized: false,
      agent: false,
    })
    const [response] = await once(request, 'response')
    expect(await text(response)).toBe(name)
  }
  // 22: a record of a handshake.
  expect(seen).toEqual([22, 22])
})

it('https: a handshake that the front has read already is pushed back', async () => {
  const dispatcher = new Dispatcher()
  afterTest(() => dispatcher.close())
  const server = https.createServer({ key: PEM, cert: PEM }, (_, response) => response.end('ok'))
  afterTest(() => server.closeAllConnections())
  serveWith(dispatcher, server)
  const reader = net.createServer(async socket => {
    await once(socket, 'readable')
    dispatcher.dispatch(socket, { head: socket.read(5) })
  })
  reader.listen(0, '127.0.0.1')
  await once(reader, 'listening')
  const { port } = reader.address() as net.AddressInfo
  const [response] = await once(
    https.get({ host: '127.0.0.1', port, rejectUnauthorized: false, agent: false }),
    'response',
  )
  expect(await text(response)).toBe('ok')
  reader.close()
})

it.each(['its HTTP server', 'the WebSocketServer'])(
  'ws: serves WebSockets with %s',
  async given => {
    const { dispatcher, port } = await front()
    const server = httpServer('a')
    const sockets = new WebSocketServer({ server })
    sockets.on('connection', socket => {
      socket.on('message', data => socket.send(`echo ${data}`))
    })
    serveWith(dispatcher, given === 'its HTTP server' ? server : sockets)
    const socket = new WebSocket(`ws://127.0.0.1:${port}/`)
    await once(socket, 'open')
    socket.send('é')
    const [message] = await once(socket, 'message')
    expect(String(message)).toBe('echo é')
    socket.close()
    await once(socket, 'close')
    await eventually(() => expect(dispatcher.workers[0]?.connections).toBe(0))
    const alone = new WebSocketServer({ noServer: true })
    expect(() => receiveConnections(channels()[0], alone)).toThrow(/noServer/)
  },
)

it('net: the options and counts of the server apply, and its close() waits for the connections', async () => {
  const { dispatcher, port } = await front()
  const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true })
  serveWith(dispatcher, server)
  const connected = once(server, 'connection')
  const socket = await client(port, 'hello')
  const [connection] = (await connected) as [net.Socket]
  expect(connection.allowHalfOpen).toBe(true)
  expect(connection.readableFlowing).toBe(false)
  const count = await new Promise(resolve => server.getConnections((_, n) => resolve(n)))
  expect(count).toBe(1)
  socket.end()
  const chunks: Buffer[] = []
  connection.on('data', chunk => chunks.push(chunk)).resume()
  await once(connection, 'end')
  expect(String(Buffer.concat(chunks))).toBe('hello')
  let isClosed = false
  server.close(() => {
    isClosed = true
  })
  connection.end('bye')
  expect(isClosed).toBe(false)
  expect(await received(socket)).toBe('bye')
  await eventually(() => expect(isClosed).toBe(true))
})

it('http: the timeouts of a server that does not listen apply', async () => {
  const { dispatcher, port } = await front()
  const server = http.createServer({ headersTimeout: 50, connectionsCheckingInterval: 20 })
  afterTest(() => server.closeAllConnections())
  serveWith(dispatcher, server)
  expect(await received(await client(port, 'GET / HTTP/1.1\r\n'))).toContain('408 Request Timeout')
  server.close()
})

it('any emitter: gets each connection, and an exception of a listener affects no other', async () => {
  const { dispatcher } = await front()
  const server = new EventEmitter()
  serveWith(dispatcher, server)
  const thrown: unknown[] = []
  const onThrown = (error: unknown) => thrown.push(error)
  const listeners = process.listeners('uncaughtException')
  process.removeAllListeners('uncaughtException')
  process.on('uncaughtException', onThrown)
  afterTest(() => {
    process.off('uncaughtException', onThrown)
    for (const listener of listeners) process.on('uncaughtException', listener)
  })
  const error = new Error('first')
  server.once('connection', (socket: net.Socket) => {
    socket.resume().end('first')
    throw error
  })
  server.on('connection', (socket: net.Socket) => socket.pipe(socket))
  const [one, two] = [await accepted('1'), await accepted('2')]
  dispatcher.dispatch(one.connection)
  dispatcher.dispatch(two.connection)
  const texts = [one.socket, two.socket].map(received)
  two.socket.end()
  one.socket.end()
  expect(await Promise.all(texts)).toEqual(['first', '2'])
  expect(thrown).toEqual([error])
})
