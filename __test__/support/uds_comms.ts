/** uds_comms servers and clients for tests, and raw peers. */
import { connect as dial, type Socket } from 'node:net'
import { join } from 'node:path'
import { listen } from 'fdwire'
import { UdsClient, type UdsClientOptions, UdsServer } from 'fdwire/uds_comms'
import { afterEach } from 'vitest'
import { errorWithCode, track } from './channels.js'
import { Peer, temporaryDirectory, testPath } from './processes.js'

export const UDS_COMMS = { protocol: 'uds_comms' } as const
const MIB = 1024 * 1024
export const TEXTS = [
  'a',
  'ab',
  'abc',
  'héllo',
  '😀 水\0\n%$',
  '\ufeffBOM',
  'x'.repeat(255),
  'é'.repeat(40_000),
  '水'.repeat(70_000),
  'a'.repeat(MIB),
]
/** Encodes a frame with Node's base64. */
export const frame = (text: string) => `%${Buffer.from(text).toString('base64')}$`
export const READY = frame('READY')
export const EPIPE = errorWithCode('EPIPE')

const open: { close(): Promise<void> }[] = []
const sockets: Socket[] = []

/** Closes the objects registered with `closeAfterTest` and the raw clients after each test. */
export function closeConnectionsAfterEach(): void {
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy()
    await Promise.allSettled(open.splice(0).map(one => one.close()))
  })
}

/** Registers an object to be closed after the test, and returns it. */
export const closeAfterTest = <T extends { close(): Promise<void> }>(one: T): T => {
  open.push(one)
  return one
}

/** Starts a server at a temporary path. */
export async function startServer(options = {}) {
  const path = join(temporaryDirectory(), 'uds')
  return { path, server: closeAfterTest(await UdsServer.listen(path, options)) }
}

/** Starts a server and connects a client to it. */
export async function connectedClient(options = {}, clientOptions: UdsClientOptions = {}) {
  const { path, server } = await startServer(options)
  const [client] = await Promise.all([
    UdsClient.connect(path, clientOptions),
    server.waitForConnection(),
  ])
  return { path, server, client: closeAfterTest(client) }
}

/** Connects a `net.Socket` that sends arbitrary bytes. */
export function rawClient(path: string, bytes?: string, allowHalfOpen = false): Socket {
  const socket = dial({ path, allowHalfOpen })
  socket.on('error', () => {})
  sockets.push(socket)
  if (bytes !== undefined) socket.write(bytes)
  return socket
}

/** Starts a server and connects a raw client that has sent READY followed by `bytes`. */
export async function connectedRawClient(bytes: string, options = {}, allowHalfOpen = false) {
  const { path, server } = await startServer(options)
  const socket = rawClient(path, READY + bytes, allowHalfOpen)
  await server.waitForConnection()
  return { path, server, socket }
}

/**
 * Starts a listener that sends `bytes` on every connection; `ends` closes it at the first message.
 */
export async function startRawListener(bytes: string, ends = false) {
  const path = join(temporaryDirectory(), 'uds')
  const listener = closeAfterTest(await listen(path, { protocol: 'raw', type: 'stream' }))
  listener.on('connection', channel => {
    track(channel)
    channel.on('error', () => {})
    if (bytes !== '') channel.send(bytes)
    if (ends) void channel.receive().then(() => channel.close())
  })
  return path
}

export const startPython = () => new Peer('python3', ['-B', testPath('support/peers/uds_comms.py')])

/** Calls `receive` `count` times and records each result: a text, null or an error's code. */
export async function receiveOutcomes(of: { receive(): Promise<string | null> }, count: number) {
  const got: (string | null)[] = []
  for (let i = 0; i < count; i++) {
    got.push(await of.receive().catch(error => error.code.replace('ERR_FDWIRE_', '')))
  }
  return got
}

/** Records the reason and error code of each connection that a server drops. */
export function recordDrops(server: UdsServer): unknown[] {
  const codes: unknown[] = []
  server.listener?.on('drop', ({ reason, error }) => {
    codes.push([reason, (error as { code: string }).code])
  })
  return codes
}

export const HANDSHAKE_FAILED = ['handshake', 'ERR_FDWIRE_HANDSHAKE']
export const HANDSHAKE_TIMED_OUT = ['handshake', 'ERR_FDWIRE_TIMEOUT']
