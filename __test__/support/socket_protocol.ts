/** An in-memory transport with the eight members of the original, and a peer without a protocol. */
import { type ProtocolOptions, PureJsonProtocol, type Transport } from 'fdwire/socket_protocol'
import type { Fields, Form } from '../../lib/options/socket_protocol.js'
import { decodeBody, encodeBody } from '../../lib/wire/encodings/socket_protocol.js'

type Callback = (body: Uint8Array) => Promise<void> | undefined

/** One of the two transports of a link. */
class MemoryTransport implements Transport {
  readonly IS_CLIENT: boolean
  readonly channelNames: (string | null)[] = []
  /** Maps each body before it is delivered; null drops it. */
  intercept: (body: Buffer) => Buffer | null = body => body
  reconnects = 0
  peer!: MemoryTransport
  link!: Link
  #inbox: Buffer[] = []
  #pumping = false
  #callback: Callback = () => undefined
  onConnect = () => {}
  onDisconnect = () => {}

  constructor(isClient: boolean) {
    this.IS_CLIENT = isClient
  }

  /** Number of bodies that have arrived and wait for the callback. */
  get pending(): number {
    return this.#inbox.length
  }

  initChannelName(name: string | null): void {
    this.channelNames.push(name)
  }

  isConnected(): boolean {
    return this.link.isUp
  }

  reconnect(): boolean {
    this.reconnects++
    this.link.down()
    return false
  }

  registerCallback(callback: Callback): void {
    this.#callback = callback
  }

  registerConnectCallback(callback: () => void): void {
    this.onConnect = callback
  }

  registerDisconnectCallback(callback: () => void): void {
    this.onDisconnect = callback
  }

  send(body: Buffer): boolean {
    if (!this.link.isUp) return false
    const delivered = this.intercept(Buffer.from(body))
    if (delivered !== null) this.peer.deliver(delivered)
    return true
  }

  deliver(body: Buffer): void {
    this.#inbox.push(body)
    if (!this.#pumping) setImmediate(() => this.#pump())
    this.#pumping = true
  }

  clear(): void {
    this.#inbox = []
  }

  async #pump(): Promise<void> {
    for (let body = this.#inbox.shift(); body !== undefined; body = this.#inbox.shift()) {
      await this.#callback(body)
    }
    this.#pumping = false
  }
}

/** Two transports and the state of the connection between them. */
export class Link {
  readonly client = new MemoryTransport(true)
  readonly server = new MemoryTransport(false)
  isUp = false

  constructor() {
    for (const end of [this.client, this.server]) end.link = this
    this.client.peer = this.server
    this.server.peer = this.client
  }

  up(): void {
    if (this.isUp) return
    this.isUp = true
    // The server must be ready before the client sends.
    this.server.onConnect()
    this.client.onConnect()
  }

  down(): void {
    if (!this.isUp) return
    this.isUp = false
    for (const end of [this.client, this.server]) {
      end.clear()
      end.onDisconnect()
    }
  }
}

/** A peer that sends arbitrary messages, in any order, and queues the ones it receives. */
export class RawPeer {
  readonly transport: MemoryTransport
  readonly #form: Form
  readonly #received: Fields[] = []
  #waiting: ((message: Fields) => void) | undefined

  constructor(transport: MemoryTransport, form: Form = 'pure_json') {
    this.transport = transport
    this.#form = form
    transport.registerCallback(body => {
      const message = decodeBody(form, body)
      if (this.#waiting === undefined) this.#received.push(message)
      else this.#waiting(message)
      this.#waiting = undefined
      return undefined
    })
  }

  /** Number of messages that `receive` has not returned yet. */
  get unread(): number {
    return this.#received.length
  }

  send(service_id: number, data_id: number, data: unknown = null, status = 0): void {
    this.transport.send(encodeBody(this.#form, { service_id, data_id, data, status }))
  }

  receive(): Promise<Fields> {
    const message = this.#received.shift()
    if (message !== undefined) return Promise.resolve(message)
    return new Promise(resolve => {
      this.#waiting = resolve
    })
  }

  request(service_id: number, data_id: number, data: unknown = null): Promise<Fields> {
    this.send(service_id, data_id, data)
    return this.receive()
  }
}

/** Returns a connected client and server; the options are the server's. */
export function protocolPair(
  options: ProtocolOptions = {},
  Protocol: typeof PureJsonProtocol = PureJsonProtocol,
) {
  const link = new Link()
  const client = new Protocol(link.client)
  const server = new Protocol(link.server, options)
  link.up()
  return { link, client, server }
}

/** Returns a server and a raw peer that is connected to it as the client. */
export function serverWithRawClient(options: ProtocolOptions = {}) {
  const link = new Link()
  const peer = new RawPeer(link.client)
  const server = new PureJsonProtocol(link.server, options)
  link.up()
  return { link, peer, server }
}

/** Returns a logger that records its lines. */
export function recordingLogger() {
  const lines: string[] = []
  const at = (level: string) => (message: string) => void lines.push(`${level}: ${message}`)
  return { lines, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

/** Waits until the messages in flight are delivered and the responses to them, too. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise(resolve => setImmediate(resolve))
}
