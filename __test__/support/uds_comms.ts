/** Servers and clients of uds_comms for tests, and peers that write any bytes. */
import { connect as dial, type Socket } from 'node:net'
import { join } from 'node:path'
import { listen } from 'fdwire'
import { UdsClient, type UdsClientOptions, UdsServer } from 'fdwire/uds_comms'
import { afterEach } from 'vitest'
import { coded, keep } from './channels.js'
import { beside, directory, Peer } from './processes.js'

export const PROTOCOL = { protocol: 'uds_comms' } as const
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
/** A frame by Node's own base64. */
export const frame = (text: string) => `%${Buffer.from(text).toString('base64')}$`
export const READY = frame('READY')
export const EPIPE = coded('EPIPE')

const open: { close(): Promise<void> }[] = []
const sockets: Socket[] = []

/** Closes after each test what `kept` was told of. */
export function cleanUpConnections(): void {
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy()
    await Promise.allSettled(open.splice(0).map(one => one.close()))
  })
}

/** Has something closed after the test. */
export const kept = <T extends { close(): Promise<void> }>(one: T): T => {
  open.push(one)
  return one
}

export async function serving(options = {}) {
  const path = join(directory(), 'uds')
  return { path, server: kept(await UdsServer.listen(path, options)) }
}

export async function met(options = {}, clientOptions: UdsClientOptions = {}) {
  const { path, server } = await serving(options)
  const [client] = await Promise.all([
    UdsClient.connect(path, clientOptions),
    server.waitForConnection(),
  ])
  return { path, server, client: kept(client) }
}

/** A client that writes any bytes. */
export function stranger(path: string, bytes?: string, allowHalfOpen = false): Socket {
  const socket = dial({ path, allowHalfOpen })
  socket.on('error', () => {})
  sockets.push(socket)
  if (bytes !== undefined) socket.write(bytes)
  return socket
}

/** A server with a client that has said READY and then any bytes. */
export async function metBy(bytes: string, options = {}, allowHalfOpen = false) {
  const { path, server } = await serving(options)
  const socket = stranger(path, READY + bytes, allowHalfOpen)
  await server.waitForConnection()
  return { path, server, socket }
}

/** A listener that writes any bytes to whoever connects. */
export async function answering(bytes: string, ends = false) {
  const path = join(directory(), 'uds')
  const listener = kept(await listen(path, { protocol: 'raw', type: 'stream' }))
  listener.on('connection', channel => {
    keep(channel)
    channel.on('error', () => {})
    if (bytes !== '') channel.send(bytes)
    if (ends) void channel.receive().then(() => channel.close())
  })
  return path
}

export const python = () => new Peer('python3', ['-B', beside('support/peers/uds_comms.py')])

/** What `receive` gives, one by one: a text, null, or the code of an error. */
export async function outcomes(of: { receive(): Promise<string | null> }, count: number) {
  const got: (string | null)[] = []
  for (let i = 0; i < count; i++) {
    got.push(await of.receive().catch(error => error.code.replace('ERR_FDWIRE_', '')))
  }
  return got
}

/** The codes of the clients that a server has dropped. */
export function dropped(server: UdsServer): unknown[] {
  const codes: unknown[] = []
  server.listener?.on('drop', ({ reason, error }) => {
    codes.push([reason, (error as { code: string }).code])
  })
  return codes
}

export const FAILED = ['handshake', 'ERR_FDWIRE_HANDSHAKE']
export const LATE = ['handshake', 'ERR_FDWIRE_TIMEOUT']
