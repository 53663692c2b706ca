/** Streams for tests: connected in every way there is, and peers that write any bytes. */
import { once } from 'node:events'
import { type AddressInfo, createServer, connect as dial, type Server, type Socket } from 'node:net'
import { adopt, type Channel, connect, type Listener, listen, type Message, pair } from 'fdwire'
import { afterEach } from 'vitest'
import { keep } from './channels.js'

export const FRAMES = { protocol: 'length_prefixed' } as const
export const LINES = { protocol: 'lines' } as const
export const RAW_STREAM = { protocol: 'raw', type: 'stream' } as const

const later: (() => unknown)[] = []
let names = 0

/** Runs something after the test, the last first. */
export function afterwards(act: () => unknown): void {
  later.push(act)
}

/** Ends what `afterwards` was told of. */
export function cleanUpStreams(): void {
  afterEach(async () => {
    for (const act of later.splice(0).reverse()) await act()
  })
}

export function abstractName(): string {
  return `\0fdwire-test-${process.pid}-s${names++}`
}

// biome-ignore lint/suspicious/noExplicitAny: any protocol and its options
type Options = any

/** A listener that is closed after the test. */
export async function listening(where: unknown, options: Options): Promise<Listener<Channel>> {
  const listener = (await listen(where as never, options)) as Listener<Channel>
  afterwards(() => listener.close())
  return listener
}

/** The next connection. */
export async function accepted(listener: Listener<Channel>): Promise<Channel> {
  const { value } = await listener[Symbol.asyncIterator]().next()
  return keep(value as Channel)
}

/** Two channels that are connected by an address: who has connected, and who has listened. */
export async function connectedAt(where: unknown, options: Options, more: Options = {}) {
  const listener = await listening(where, { ...options, ...more })
  const to = listener.address as never
  const [client, server] = await Promise.all([connect(to, options), accepted(listener)])
  await listener.close()
  return [keep(client as Channel), server] as const
}

/** Two channels over TCP. */
export const overTcp = (options: Options, more?: Options) =>
  connectedAt({ host: '127.0.0.1', port: 0 }, options, more)

/** Two channels over a socketpair. */
export function streams(options: Options, more: Options = {}): [Channel, Channel] {
  const [a, b] = pair({ ...RAW_STREAM })
  const as = (one: Channel<Buffer>, how: Options) => keep(adopt(one.detach(), how) as Channel)
  return [as(a, options), as(b, { ...options, ...more })]
}

/** A peer that writes any bytes, and the channel that gets them. */
export function rawTo(options: Options): [Channel<Buffer>, Channel] {
  const [a, b] = pair(RAW_STREAM)
  return [keep(a), keep(adopt(b.detach(), options) as Channel)]
}

/** A server of Node's own, and its address. */
export async function nodeServer(): Promise<[Server, AddressInfo]> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  afterwards(() => server.close())
  return [server, server.address() as AddressInfo]
}

/** Two sockets of Node's over TCP: who has connected, and who was accepted, paused. */
export async function nodeSockets(options = {}): Promise<[Socket, Socket]> {
  const [server, { port }] = await nodeServer()
  const socket = dial({ port, host: '127.0.0.1', ...options })
  const [[other]] = await Promise.all([once(server, 'connection'), once(socket, 'connect')])
  for (const one of [socket, other as Socket]) {
    one.on('error', () => {})
    afterwards(() => one.destroy())
  }
  return [socket, other]
}

/** A socket of Node's that is connected to a channel over TCP. */
export async function nodePeer(options: Options): Promise<[Socket, Channel]> {
  const listener = await listening({ host: '127.0.0.1', port: 0 }, options)
  const { host, port } = listener.address as { host: string; port: number }
  const socket = dial(port, host)
  socket.on('error', () => {})
  afterwards(() => socket.destroy())
  const [channel] = await Promise.all([accepted(listener), once(socket, 'connect')])
  return [socket, channel]
}

/** All events of a channel's end with what they tell, and the messages, in order. */
export function eventsOf(channel: Channel, messages = true): unknown[] {
  const told: unknown[] = []
  if (messages) channel.on('message', value => told.push(value))
  channel.on('end', () => told.push('end'))
  channel.on('error', error => told.push((error as NodeJS.ErrnoException).code ?? error.message))
  channel.on('close', () => told.push('close'))
  return told
}

/** Resolves at `'close'`. */
export function closedOf(channel: Channel): Promise<unknown> {
  // A second close() is the first one's promise, and resolves behind the event.
  if (channel.closed) return channel.close().catch(() => {})
  return new Promise(done => channel.once('close', done as never))
}

/** Values up to the end. */
export async function all(channel: Channel): Promise<unknown[]> {
  const values: unknown[] = []
  for await (const { value } of channel as AsyncIterable<Message>) values.push(value)
  return values
}

/** Bytes that are never the same twice in a row, and hold no line feed. */
export function noise(length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length)
  for (let i = 0; i < length; i++) bytes[i] = ((i * 31 + (i >> 8)) % 245) + 11
  return bytes
}

/** The next `count` values. */
export async function takeValues(channel: Channel, count: number): Promise<unknown[]> {
  const values: unknown[] = []
  while (values.length < count) {
    const message = await channel.receive()
    if (message === null) break
    values.push(message.value)
  }
  return values
}

/** Turns of the loop until something is so. */
export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise(resolve => setImmediate(resolve))
}
