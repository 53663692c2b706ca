/** Clients and servers of socket_protocol over real sockets for tests, and raw clients. */
import { once } from 'node:events'
import { connect as netConnect, type Socket } from 'node:net'
import { join } from 'node:path'
import {
  type DataStorage,
  type Protocol,
  type ProtocolOptions,
  ProtocolServer,
  PureJsonProtocol,
  SID_READ_REQUEST,
  SocketClient,
} from 'fdwire/socket_protocol'
import { afterEach } from 'vitest'
import { encodeBody } from '../../lib/wire/encodings/socket_protocol.js'
import { temporaryDirectory } from './processes.js'

export const SECRET = 'shared secret'
/** Options with which a client reconnects at once. */
export const FAST = { minDelay: 1, maxDelay: 20 }

const open: { close(): unknown }[] = []

/** Closes the objects registered with `closeAfterTest` after each test. */
export function closeProtocolsAfterEach(): void {
  afterEach(async () => {
    await Promise.all(open.splice(0).map(item => item.close()))
  })
}

/** Registers an object to be closed after the test, and returns it. */
export function closeAfterTest<T extends { close(): unknown }>(item: T): T {
  open.push(item)
  return item
}

/** Returns a client that connects to `where`. */
export function startClient(
  where: ConstructorParameters<typeof SocketClient>[0],
  options: ProtocolOptions = {},
): PureJsonProtocol {
  return closeAfterTest(new PureJsonProtocol(new SocketClient(where, FAST), options))
}

/** Makes a Protocol return the data of each read request. */
export function registerEcho<P extends Protocol>(protocol: P): P {
  protocol.registerCallback(SID_READ_REQUEST, null, message => [0, message.getData()])
  return protocol
}

/** Starts a server whose Protocols return the data of each read request. */
export async function startEchoServer(
  path: string,
  options: ProtocolOptions = {},
): Promise<ProtocolServer> {
  const server = await ProtocolServer.listen(path, transport =>
    registerEcho(new PureJsonProtocol(transport, options)),
  )
  return closeAfterTest(server)
}

/** Returns a path for a socket in a temporary directory. */
export const socketPath = () => join(temporaryDirectory(), 'socket')

export const dataOf = (message: DataStorage) => message.getData()

/** Encodes a message and its frame. */
export function encodeFrame(serviceId: number, dataId: number, data: unknown = null): Buffer {
  const body = encodeBody('pure_json', {
    service_id: serviceId,
    data_id: dataId,
    status: 0,
    data,
  })
  return Buffer.from(`:<${body.toString('latin1').replaceAll(':', ':=')}:>`, 'latin1')
}

/** Connects a `net.Socket` that sends arbitrary bytes. */
export async function connectRaw(where: string): Promise<Socket> {
  const socket = netConnect(where)
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}
