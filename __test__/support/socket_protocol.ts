/** A transport in memory with the original's eight members, and a peer who says what it likes. */
import type { Transport } from 'fdwire/socket_protocol'
import type { Fields, Form } from '../../lib/options/socket_protocol.js'
import { decodeBody, encodeBody } from '../../lib/wire/encodings/socket_protocol.js'

type Callback = (body: Uint8Array) => Promise<void> | undefined

/** One end of a link. */
export class MemoryTransport implements Transport {
  readonly IS_CLIENT: boolean
  readonly names: (string | null)[] = []
  /** What is done to each body on its way; null: it is lost. */
  onWay: (body: Buffer) => Buffer | null = body => body
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

  /** Bodies that have come and are held. */
  get held(): number {
    return this.#inbox.length
  }

  initChannelName(name: string | null): void {
    this.names.push(name)
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
    const arrives = this.onWay(Buffer.from(body))
    if (arrives !== null) this.peer.arrive(arrives)
    return true
  }

  arrive(body: Buffer): void {
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

/** Two transports, and whether they are connected. */
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
    // The server listens before the client speaks.
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

/** A peer without any manners: it sends what it is told, and collects what comes. */
export class RawPeer {
  readonly transport: MemoryTransport
  readonly #form: Form
  readonly #got: Fields[] = []
  #waiting: ((message: Fields) => void) | undefined

  constructor(transport: MemoryTransport, form: Form = 'pure_json') {
    this.transport = transport
    this.#form = form
    transport.registerCallback(body => {
      const message = decodeBody(form, body)
      if (this.#waiting === undefined) this.#got.push(message)
      else this.#waiting(message)
      this.#waiting = undefined
      return undefined
    })
  }

  /** Messages that nobody has taken. */
  get unread(): number {
    return this.#got.length
  }

  say(service_id: number, data_id: number, data: unknown = null, status = 0): void {
    this.transport.send(encodeBody(this.#form, { service_id, data_id, data, status }))
  }

  hear(): Promise<Fields> {
    const message = this.#got.shift()
    if (message !== undefined) return Promise.resolve(message)
    return new Promise(resolve => {
      this.#waiting = resolve
    })
  }

  ask(service_id: number, data_id: number, data: unknown = null): Promise<Fields> {
    this.say(service_id, data_id, data)
    return this.hear()
  }
}

/** A logger that keeps what it is told. */
export function notes() {
  const lines: string[] = []
  const at = (level: string) => (message: string) => void lines.push(`${level}: ${message}`)
  return { lines, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

/** When everything that is on its way has arrived and was answered. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise(resolve => setImmediate(resolve))
}
