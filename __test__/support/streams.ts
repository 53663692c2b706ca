/** Stream channels for tests, connected in every way that fdwire offers, and raw peers. */
import { once } from 'node:events'
import { type AddressInfo, createServer, connect as dial, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { adopt, type Channel, connect, type Listener, listen, type Message, pair } from 'fdwire'
import { afterEach } from 'vitest'
import { track } from './channels.js'
import { temporaryDirectory } from './processes.js'

export const FRAMES = { protocol: 'length_prefixed' } as const
export const LINES = { protocol: 'lines' } as const
export const RAW_STREAM = { protocol: 'raw', type: 'stream' } as const

const cleanups: (() => unknown)[] = []
let names = 0

/** Registers a cleanup for the end of the test; the last one registered runs first. */
export function afterTest(act: () => unknown): void {
  cleanups.push(act)
}

/** Runs the cleanups registered with `afterTest` after each test. */
export function runCleanupsAfterEach(): void {
  afterEach(async () => {
    for (const act of cleanups.splice(0).reverse()) await act()
  })
}

/** Returns an abstract address that no other test uses. */
export function abstractName(): string {
  return `\0fdwire-test-${process.pid}-s${names++}`
}

// biome-ignore lint/suspicious/noExplicitAny: any protocol and its options
type Options = any

/** Returns a listener that is closed after the test. */
export async function startListener(where: unknown, options: Options): Promise<Listener<Channel>> {
  const listener = (await listen(where as never, options)) as Listener<Channel>
  afterTest(() => listener.close())
  return listener
}

/** Accepts the next connection. */
export async function acceptNext(listener: Listener<Channel>): Promise<Channel> {
  const { value } = await listener[Symbol.asyncIterator]().next()
  return track(value as Channel)
}

/** Connects two channels through a listener at `where`; returns the client's, then the server's. */
export async function connectedPair(where: unknown, options: Options, more: Options = {}) {
  const listener = await startListener(where, { ...options, ...more })
  const to = listener.address as never
  const [client, server] = await Promise.all([connect(to, options), acceptNext(listener)])
  await listener.close()
  return [track(client as Channel), server] as const
}

/** Returns two channels connected over TCP: the client's, then the server's. */
export const tcpPair = (options: Options, more?: Options) =>
  connectedPair({ host: '127.0.0.1', port: 0 }, options, more)

/** Returns two channels connected by a socketpair. */
export function streamPair(options: Options, more: Options = {}): [Channel, Channel] {
  const [a, b] = pair({ ...RAW_STREAM })
  const as = (one: Channel<Buffer>, how: Options) => track(adopt(one.detach(), how) as Channel)
  return [as(a, options), as(b, { ...options, ...more })]
}

/** Ways to connect two stream channels, the second with further options. */
export const STREAM_CONNECTIONS: [
  string,
  (options: Options, more?: Options) => Promise<readonly [Channel, Channel]>,
][] = [
  ['a pair', async (options, more) => streamPair(options, more)],
  [
    'a path',
    async (options, more) => connectedPair(join(temporaryDirectory(), 's'), options, more),
  ],
  ['TCP', async (options, more) => tcpPair(options, more)],
]

/** Returns a raw stream channel and the channel that is connected to it. */
export function rawStreamPair(options: Options): [Channel<Buffer>, Channel] {
  const [a, b] = pair(RAW_STREAM)
  return [track(a), track(adopt(b.detach(), options) as Channel)]
}

/** Returns a `net.Server` that listens on TCP, and its address. */
async function nodeServer(): Promise<[Server, AddressInfo]> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  afterTest(() => server.close())
  return [server, server.address() as AddressInfo]
}

/** Returns two `net.Socket`s connected over TCP: the client's, then the server's. */
export async function nodeSocketPair(options = {}): Promise<[Socket, Socket]> {
  const [server, { port }] = await nodeServer()
  const socket = dial({ port, host: '127.0.0.1', ...options })
  const [[other]] = await Promise.all([once(server, 'connection'), once(socket, 'connect')])
  for (const one of [socket, other as Socket]) {
    one.on('error', () => {})
    afterTest(() => one.destroy())
  }
  return [socket, other]
}

/** Returns a `net.Socket` and the channel that it is connected to over TCP. */
export async function nodeSocketAndChannel(options: Options): Promise<[Socket, Channel]> {
  const listener = await startListener({ host: '127.0.0.1', port: 0 }, options)
  const { host, port } = listener.address as { host: string; port: number }
  const socket = dial(port, host)
  socket.on('error', () => {})
  afterTest(() => socket.destroy())
  const [channel] = await Promise.all([acceptNext(listener), once(socket, 'connect')])
  return [socket, channel]
}

/** Records a channel's messages and its `end`, `error` and `close` events, in order. */
export function recordEvents(channel: Channel, messages = true): unknown[] {
  const events: unknown[] = []
  if (messages) channel.on('message', value => events.push(value))
  channel.on('end', () => events.push('end'))
  channel.on('error', error => events.push((error as NodeJS.ErrnoException).code ?? error.message))
  channel.on('close', () => events.push('close'))
  return events
}

/** Resolves when the channel has emitted `'close'`. */
export function whenClosed(channel: Channel): Promise<unknown> {
  // A second close() returns the promise of the first, which resolves after the event.
  if (channel.closed) return channel.close().catch(() => {})
  return new Promise(done => channel.once('close', done as never))
}

/** Receives until the end and returns the values. */
export async function receiveAll(channel: Channel): Promise<unknown[]> {
  const values: unknown[] = []
  for await (const { value } of channel as AsyncIterable<Message>) values.push(value)
  return values
}

/** Returns bytes in a pattern without line feeds and without two equal bytes in a row. */
export function patternBytes(length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length)
  for (let i = 0; i < length; i++) bytes[i] = ((i * 31 + (i >> 8)) % 245) + 11
  return bytes
}

/** Receives up to `count` values, fewer if the channel ends. */
export async function receiveUpTo(channel: Channel, count: number): Promise<unknown[]> {
  const values: unknown[] = []
  while (values.length < count) {
    const message = await channel.receive()
    if (message === null) break
    values.push(message.value)
  }
  return values
}

/** Waits, turn by turn of the event loop, until `condition` returns true. */
export async function waitUntil(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(resolve => setImmediate(resolve))
}
