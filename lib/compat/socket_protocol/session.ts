import type { EventEmitter } from 'node:events'
import type { Fields, Form } from '../../options/socket_protocol.js'
import { STATUS_OKAY } from '../../options/socket_protocol.js'
import type { FdwireError } from '../../util/errors.js'
import { closedError } from '../../util/errors.js'
import { Buffers } from './buffers.js'
import { ChannelName, quote } from './channel-name.js'
import {
  DID_CHANNEL_NAME,
  SID_AUTH_REQUEST,
  SID_AUTH_RESPONSE,
  SID_CHANNEL_NAME_REQUEST,
} from './constants.js'
import type { DataStorage } from './data-storage.js'
import { Gate } from './gate.js'
import { Handshake } from './handshake.js'
import { Inbound, type Own } from './inbound.js'
import type { CheckedProtocolOptions } from './options.js'
import { Outbound } from './outbound.js'
import { Pending } from './pending.js'
import { Callbacks, keyOf, Services } from './services.js'
import { type Logger, SILENT, type Transport } from './transport.js'

/** What a protocol object tells. */
export interface ProtocolEvents {
  /** There is a connection; with a secret it isn't trusted yet. */
  connect: []
  /** There is none any more; `error` is why, where it did not end well. */
  disconnect: [error?: Error]
  /** The connection began or ceased to be trusted by a proof. */
  authentification: [isTrusted: boolean]
  /** Something came that is no message. */
  malformed: [error: FdwireError]
  /** A message that waited for `receive` gave way to newer ones, or went with its connection. */
  dropped: [message: DataStorage]
}

/** What a protocol object has done, and what waits. */
export interface ProtocolStats {
  /** Messages that were given to the transport. */
  sent: number
  /** Bodies that came. */
  received: number
  /** Those of them that are no messages. */
  malformed: number
  /** Messages that were refused: of a peer that isn't trusted, or that nobody asked for. */
  refused: number
  /** Messages for `receive` that were dropped. */
  dropped: number
  /** Responses to requests that had been given up. */
  lateResponses: number
  /** Messages that wait for `receive`. */
  buffered: number
  /** Requests of ours that wait for their responses. */
  requests: number
}

/** How long a client tries to prove itself by itself (ms). */
const AUTO_AUTH_TIMEOUT = 2_000

/** One protocol object's state: what was registered, what waits, and the connection. */
export class Session {
  readonly transport: Transport
  readonly services = new Services()
  readonly callbacks = new Callbacks()
  /** Messages that need no trust. */
  readonly whitelist = new Set<string>()
  readonly pending = new Pending()
  readonly buffers: Buffers
  readonly name: ChannelName
  readonly handshake: Handshake
  readonly inbound: Inbound
  readonly outbound: Outbound
  /** Whoever wants to prove itself waits here for a connection. */
  readonly connected = new Gate(() => this.#isUp)
  /** Whoever sends waits here, also until our own proof is done. */
  readonly ready = new Gate(() => this.#isUp && !this.handshake.isUnderWay)
  readonly #options: CheckedProtocolOptions
  readonly #emit: EventEmitter<ProtocolEvents>['emit']
  readonly #counts = {
    sent: 0,
    received: 0,
    malformed: 0,
    refused: 0,
    dropped: 0,
    lateResponses: 0,
  }
  #isUp = false
  #wasProven = false
  #closing: Promise<void> | undefined

  constructor(
    form: Form,
    transport: Transport,
    options: CheckedProtocolOptions,
    emit: EventEmitter<ProtocolEvents>['emit'],
  ) {
    this.transport = transport
    this.#options = options
    this.#emit = emit
    this.buffers = new Buffers(options, message => this.#drop(message))
    this.name = new ChannelName(
      options.channelName,
      name => this.#named(name),
      message => this.log('warn', message),
    )
    this.handshake = new Handshake(options, transport.IS_CLIENT ? 'client' : 'server', {
      post: message => this.#post(message.toJSON() as Fields),
      changed: () => this.#trustChanged(),
      refused: why => this.#refuse(`authentification: ${why}`),
    })
    this.outbound = new Outbound(this, form, options.maxRequests, fields => {
      this.#counts.sent++
      this.#trace('TX', fields)
    })
    this.inbound = new Inbound(this, form, options)
    transport.initChannelName(options.channelName)
    transport.registerCallback(body => this.#receive(body))
    transport.registerMalformedCallback?.(error => this.malformed(error))
    transport.registerConnectCallback(() => this.#connect())
    transport.registerDisconnectCallback(error => this.#disconnect(error))
    // One that is connected already tells nobody; whoever makes us registers callbacks until then.
    queueMicrotask(() => {
      if (transport.isConnected()) this.#connect()
    })
  }

  /** What was done so far, and what waits. */
  get stats(): ProtocolStats {
    const requests = this.pending.waiting
    return { ...this.#counts, buffered: this.buffers.length, requests }
  }

  /** Whether there is a connection. */
  get isUp(): boolean {
    return this.#isUp
  }

  /** Writes to the log. */
  log(level: keyof Logger, message: string): void {
    const name = this.name?.value ?? null
    this.#options.logger[level](`${name === null ? 'socket_protocol' : quote(name)}: ${message}`)
  }

  /** Ends everything, once. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  /** Sends an answer, unless its connection is gone; false where it can't be sent. */
  reply(fields: Fields, connection: number): Promise<boolean> {
    return this.outbound.post(fields, () => connection === this.inbound.connection && this.#isUp)
  }

  /** Whether a message is taken from this peer. */
  isPermitted(serviceId: number, dataId: number): boolean {
    return this.handshake.isTrusted || this.whitelist.has(keyOf(serviceId, dataId))
  }

  /** Whether we wait for the peer, so that what it sends must not be held. */
  isAwaiting(): boolean {
    return this.pending.waiting > 0 || this.buffers.waiting > 0 || this.handshake.isUnderWay
  }

  /** Takes a message of the protocol's own services; what to answer to a request. */
  own(message: DataStorage): Own | undefined {
    const serviceId = message.getServiceId()
    if (serviceId === SID_AUTH_REQUEST) {
      const { reply, close } = this.handshake.answer(message)
      return { answer: [reply.getStatus(0), reply.getData()], close }
    }
    if (serviceId === SID_AUTH_RESPONSE) this.handshake.hear(message)
    else if (message.getDataId() !== DID_CHANNEL_NAME) return undefined
    else if (serviceId !== SID_CHANNEL_NAME_REQUEST) this.name.hear(message.getData())
    else return { answer: this.name.answer(message.getData()) }
    return undefined
  }

  /** A message has come. */
  heard(message: DataStorage): void {
    this.#trace('RX', message.toJSON() as Fields)
  }

  /** A message was refused. */
  refused(why: string, message: DataStorage): void {
    this.#refuse(`${why}: ${this.#describe(message.toJSON() as Fields)}`)
  }

  /** A body came that is no message. */
  malformed(error: FdwireError): void {
    this.#counts.malformed++
    this.log('warn', `${error.message} (${error.code})`)
    this.#emit('malformed', error)
  }

  /** The response to a request that was given up. */
  late(message: DataStorage): void {
    this.#counts.lateResponses++
    this.log('info', `too late: ${this.#describe(message.toJSON() as Fields)}`)
  }

  /** A callback threw, or returned rubbish. */
  callbackFailed(error: unknown, message: DataStorage): void {
    const what = this.#describe(message.toJSON() as Fields)
    this.log('error', `the callback failed: ${what}: ${whatIs(error)}`)
  }

  /** The peer has gone too far: closes the connection. */
  condemn(why: string): void {
    this.log('error', `the connection is closed: ${why}`)
    if (this.transport.disconnect === undefined) void this.#reconnect()
    else this.transport.disconnect()
  }

  async #reconnect(): Promise<void> {
    try {
      await this.transport.reconnect()
    } catch (error) {
      this.log('error', `reconnect: ${whatIs(error)}`)
    }
  }

  #receive(body: Uint8Array): Promise<void> | undefined {
    if (this.#closing !== undefined) return undefined
    this.#counts.received++
    return this.inbound.receive(body)
  }

  #connect(): void {
    if (this.#isUp || this.#closing !== undefined) return
    this.#isUp = true
    this.log('info', 'connected')
    const { autoAuth, mutual } = this.#options
    const { IS_CLIENT } = this.transport
    if (IS_CLIENT) {
      const data = this.name.ask()
      const ids = { service_id: SID_CHANNEL_NAME_REQUEST, data_id: DID_CHANNEL_NAME }
      this.#post({ ...ids, status: STATUS_OKAY, data })
    }
    if (autoAuth && (IS_CLIENT || mutual) && this.handshake.isNeeded) {
      void this.handshake.begin(AUTO_AUTH_TIMEOUT)
    }
    this.connected.open()
    this.ready.open()
    this.#emit('connect')
  }

  #disconnect(error?: Error): void {
    if (!this.#isUp) return
    this.#isUp = false
    if (error === undefined) this.log('info', 'disconnected')
    else this.log('warn', `disconnected: ${error.message}`)
    this.inbound.reset()
    this.handshake.reset()
    this.name.reset()
    this.pending.failAll(() => closedError('request'))
    // A response that nobody took belongs to a request of this connection.
    this.buffers.dropWhere(message => this.services.isResponse(message.getServiceId(0)))
    this.#trustChanged()
    this.#emit('disconnect', error)
  }

  #post(fields: Fields): void {
    const { connection } = this.inbound
    void this.reply(fields, connection)
  }

  #trustChanged(): void {
    const { isProven } = this.handshake
    if (isProven !== this.#wasProven) {
      this.#wasProven = isProven
      this.log('info', isProven ? 'the connection is trusted' : 'the connection is not trusted')
      this.#emit('authentification', isProven)
    }
    this.inbound.update()
    this.ready.open()
  }

  #named(name: string): void {
    this.transport.initChannelName(name)
    this.log('info', 'is the name of the channel now')
  }

  #drop(message: DataStorage): void {
    this.#counts.dropped++
    this.log(
      'warn',
      `dropped, nobody has received it: ${this.#describe(message.toJSON() as Fields)}`,
    )
    this.#emit('dropped', message)
  }

  #refuse(why: string): void {
    this.#counts.refused++
    this.log('warn', `refused: ${why}`)
  }

  #trace(direction: string, fields: Fields): void {
    if (this.#options.logger !== SILENT) this.log('debug', `${direction} ${this.#describe(fields)}`)
  }

  #describe({ service_id, data_id, status }: Fields): string {
    return this.services.describe(service_id, data_id, status)
  }

  async #close(): Promise<void> {
    this.ready.close()
    this.connected.close()
    this.buffers.end()
    const closed = this.transport.close?.()
    this.#disconnect()
    await closed
  }
}

/** What was thrown and where, without its message: that may hold data. */
function whatIs(thrown: unknown): string {
  if (!(thrown instanceof Error)) return 'what was thrown is no Error'
  try {
    const { name, message, stack = '' } = thrown
    const behind = stack.slice(stack.lastIndexOf(message) + message.length)
    const [where = ''] = /\bat .*/.exec(behind) ?? []
    return `${name} ${where}`.trim()
  } catch {
    return 'an Error that can not be read'
  }
}
