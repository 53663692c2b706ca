/** msg_channel listeners and connections for tests, and raw clients. */
import { connect as dial, type Socket } from 'node:net'
import { Channel, type ListeningOptions } from 'fdwire/msg_channel'
import { track } from './channels.js'
import { afterTest } from './streams.js'

export const HOST = '127.0.0.1'
export const MIB = 1024 * 1024
/** Message sizes in bytes around the powers of ten and two at which framing changes. */
export const SIZES = [0, 1, 9, 10, 99, 100, 255, 65_535, 65_536, MIB]

/** Listens on a free port until the end of the test. */
export async function startListening(options?: ListeningOptions) {
  const clients = await Channel.listen(HOST, 0, options)
  afterTest(() => clients.close())
  return clients
}

/** Returns two connected channels: the client's, then the server's. */
export async function connectedChannels(options?: ListeningOptions): Promise<[Channel, Channel]> {
  const clients = await startListening(options)
  const [client, { value }] = await Promise.all([
    Channel.connect(HOST, clients.port),
    clients.next(),
  ])
  track(client.channel)
  track((value as Channel).channel)
  return [client, value as Channel]
}

/** Returns a `net.Socket` that sends arbitrary bytes, and the channel that it is connected to. */
export async function rawClientAndChannel(): Promise<[Socket, Channel]> {
  const clients = await startListening()
  const socket = dial(clients.port, HOST)
  afterTest(() => socket.destroy())
  socket.on('error', () => {})
  const { value } = await clients.next()
  track((value as Channel).channel)
  return [socket, value as Channel]
}

/** Receives until the end and returns the messages. */
export async function receiveAll(channel: Channel): Promise<Buffer[]> {
  const values: Buffer[] = []
  for await (const value of channel.iterRecv()) values.push(value)
  return values
}
