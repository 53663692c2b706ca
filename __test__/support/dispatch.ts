/** Servers, workers and clients for the tests of fdwire/dispatch. */
import { once } from 'node:events'
import http from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { pair } from 'fdwire'
import { Dispatcher, type DispatcherOptions, receiveConnections } from 'fdwire/dispatch'
import { afterEach, vi } from 'vitest'
import { Peer, testPath } from './processes.js'

export const SEQPACKET = { protocol: 'jsoncomm', type: 'seqpacket' } as const

const cleanups: (() => unknown)[] = []

/** Waits until a check passes, also on a busy machine. */
export const eventually = (check: () => void) => vi.waitFor(check, 30_000)

/** Registers what a test must undo. The last one is undone first. */
export function afterTest(undo: () => unknown): void {
  cleanups.push(undo)
}

afterEach(async () => {
  for (const undo of cleanups.splice(0).reverse()) await undo()
})

/** Makes a dispatcher and a net.Server that it is attached to. Returns its port. */
export async function front(options?: DispatcherOptions) {
  const dispatcher = new Dispatcher(options)
  const server = net.createServer()
  dispatcher.attach(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  afterTest(() => dispatcher.close())
  return { dispatcher, server, port: (server.address() as AddressInfo).port }
}

/** Makes the two ends of a channel that can carry connections. */
export function channels(options: object = SEQPACKET) {
  const ends = pair(options as typeof SEQPACKET)
  afterTest(() => {
    for (const end of ends) end.destroy()
  })
  return ends
}

/** Makes an HTTP server whose response is `name`, `method` and `url`, and closes it after the test. */
export function httpServer(name: string): http.Server {
  const server = http.createServer((request, response) => {
    request.resume().on('end', () => response.end(`${name} ${request.method} ${request.url}`))
  })
  afterTest(() => server.closeAllConnections())
  return server
}

/** Makes a worker in this process. Returns the dispatcher's end of its channel. */
export function localWorker(name: string, options?: object) {
  const [ours, theirs] = channels(options)
  const server = httpServer(name)
  const ended = receiveConnections(theirs, server)
  return { channel: ours, worker: theirs, server, ended }
}

/** Starts a worker process with a channel as descriptor 3, and waits until it serves. */
export async function startWorker(command: string, args: string[]) {
  const [ours, theirs] = channels()
  const peer = new Peer(command, args, { stdio: ['pipe', 'pipe', 'pipe', theirs.fd] as never })
  theirs.destroy()
  await peer.receive()
  return { channel: ours, peer }
}

/** Starts a worker in Node that responds with its process id, with at most `limit` descriptors. */
export const nodeWorker = (limit?: number) => {
  const program = testPath('support/children/dispatch-worker.mjs')
  return startWorker(process.execPath, [program, ...(limit === undefined ? [] : [`${limit}`])])
}

/** Starts a worker in Python. */
export const pythonWorker = () =>
  startWorker('python3', ['-B', testPath('support/peers/dispatch_worker.py')])

/** Connects a client, and destroys it after the test. */
export async function client(port: number, first?: string | Buffer): Promise<net.Socket> {
  const socket = net.connect(port, '127.0.0.1')
  socket.on('error', () => {})
  afterTest(() => socket.destroy())
  await once(socket, 'connect')
  if (first !== undefined) socket.write(first)
  return socket
}

/** Makes a connection that Node has accepted, whose client has sent `first`. */
export async function accepted(first: string, options: net.ServerOpts = {}) {
  const server = net.createServer(options)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const connected = once(server, 'connection')
  const socket = await client((server.address() as AddressInfo).port, first)
  const [connection] = (await connected) as [net.Socket]
  server.close()
  return { socket, connection }
}

/** Resolves when a connection is closed by the other side, with everything that has arrived. */
export async function received(socket: net.Socket): Promise<string> {
  let text = ''
  socket.on('data', chunk => {
    text += chunk
  })
  // Closing a connection with unread bytes resets it, which `once` would report as its rejection.
  if (!socket.closed) await new Promise(resolve => socket.once('close', resolve))
  return text
}
