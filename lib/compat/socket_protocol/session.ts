import type { EventEmitter } from 'node:events'
import { type Fields, type Form, STATUS_OKAY } from '../../options/socket_protocol.js'
import { type ClosedBy, closedError, type FdwireError } from '../../util/errors.js'
import { queueMicrotask } from '../../util/timers.js'
import { Buffers } from './buffers.js'
import { ChannelName, quote } from './channel-name.js'
import {
  DID_CHANNEL_NAME,
  SID_AUTH_REQUEST,
  SID_AUTH_RESPONSE,
  SID_CHANNEL_NAME_REQUEST,
} from './constants.js'
import type { DataStorage } from './data-storage.js'
import { Handshake } from './handshake.js'
import { type BuiltInAnswer, Inbound } from './inbound.js'
import type { CheckedProtocolOptions } from './options.js'
import { Outbound } from './outbound.js'
import { PendingRequests } from './pending-requests.js'
import { Callbacks, keyOf, Services } from './services.js'
import { type Logger, SILENT, type Transport } from './transport.js'
import { WaitQueue } from './wait-queue.js'

/** The events of a protocol object, with their arguments. */
export interface ProtocolEvents {
  /** A connection was made. If a secret is set, the connection is not trusted yet. */
  connect: []
  /** The connection has ended. `error` is the reason, if it has failed or a limit has closed it. */
  disconnect: [error?: Error]
  /** A correct key has made the connection trusted (true), or a trusted connection has ended. */
  authentification: [isTrusted: boolean]
  /** A malformed frame or body was received. */
  malformed: [error: FdwireError]
  /** A message for `receive` was dropped, because of a limit or the end of its connection. */
  dropped: [message: DataStorage]
}

/** The statistics of a protocol object. */
export interface ProtocolStats {
  /** Messages that were handed to the transport. */
  sent: number
  /** Bodies that were received. */
  received: number
  /** Malformed frames and bodies that were received. */
  malformed: number
  /** Messages that were refused: from an untrusted peer, or not requested. */
  refused: number
  /** Messages for `receive` that were dropped. */
  dropped: number
  /** Responses to abandoned requests. They are dropped. */
  lateResponses: number
  /** Messages that are buffered for `receive`. */
  buffered: number
  /** Requests of this side that await their responses. */
  requests: number
}

/** How long an automatic attempt to prove this side may take (ms). */
const AUTO_AUTH_TIMEOUT = 2_000

/** The state of a protocol object, across connections. */
export class Session {
  readonly transport: Transport
  readonly services = new Services()
  readonly callbacks = new Callbacks()
  /** Service and data ids that an untrusted peer may send, as keys. */
  readonly whitelist = new Set<string>()
  readonly pending = new PendingRequests()
  readonly buffers: Buffers
  readonly name: ChannelName
  readonly handshake: Handshake
  readonly inbound: Inbound
  readonly outbound: Outbound
  /** Attempts to prove this side that wait for a connection. */
  readonly connected = new WaitQueue(() => this.isConnected)
  /** Messages that wait for a connection, and for the end of an attempt to prove this side. */
  readonly ready = new WaitQueue(() => this.isConnected && !this.handshake.isPending)
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
  #state: 'disconnected' | 'connected' | 'closed' = 'disconnected'
  /** The trust that the last `'authentification'` event has reported. */
  #reportedTrust = false
  /** Why this side closes the connection; undefined if it does not, or was asked to. */
  #closeReason: FdwireError | undefined
  /** Who ends the connection. */
  #endedBy: ClosedBy = 'peer'
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
    this.buffers = new Buffers(options, message => this.#onDropped(message))
    this.name = new ChannelName(
      options.channelName,
      name => this.#onNameChange(name),
      message => this.log('warn', message),
    )
    this.handshake = new Handshake(options, transport.IS_CLIENT ? 'client' : 'server', {
      send: message => this.#post(message.toJSON() as Fields),
      onChange: () => this.#onTrustChange(),
      onRefused: reason => this.#countRefused(`authentification: ${reason}`),
    })
    this.outbound = new Outbound(this, form, options.maxRequests, fields => {
      this.#counts.sent++
      this.#trace('TX', fields)
    })
    this.inbound = new Inbound(this, form, options)
    transport.initChannelName(options.channelName)
    transport.registerCallback(body => this.#receive(body))
    transport.registerMalformedCallback?.(error => this.onMalformed(error))
    transport.registerConnectCallback(() => this.#onConnect())
    transport.registerDisconnectCallback(error => this.#onDisconnect(error))
    // A transport that is already connected does not call back. In this tick the caller still
    // registers its own callbacks.
    queueMicrotask(() => {
      if (transport.isConnected()) this.#onConnect()
    })
  }

  get stats(): ProtocolStats {
    const requests = this.pending.awaited
    return { ...this.#counts, buffered: this.buffers.length, requests }
  }

  get isConnected(): boolean {
    return this.#state === 'connected'
  }

  /** Writes a line to the log. */
  log(level: keyof Logger, message: string): void {
    const name = this.name?.value ?? null
    this.#options.logger[level](`${name === null ? 'socket_protocol' : quote(name)}: ${message}`)
  }

  /** Closes the session and its transport. A second call returns the same promise. */
  close(): Promise<void> {
    if (this.#closing === undefined) {
      this.#closing = this.#close()
      this.#state = 'closed'
    }
    return this.#closing
  }

  // The methods of InboundHost:

  reply(fields: Fields, connection: number): Promise<boolean> {
    const isWanted = () => connection === this.inbound.connection && this.isConnected
    return this.outbound.post(fields, isWanted)
  }

  isPermitted(serviceId: number, dataId: number): boolean {
    return this.handshake.isTrusted || this.whitelist.has(keyOf(serviceId, dataId))
  }

  isAwaitingPeer(): boolean {
    return this.pending.awaited > 0 || this.buffers.readers > 0 || this.handshake.isPending
  }

  handleBuiltIn(message: DataStorage): BuiltInAnswer | undefined {
    const serviceId = message.getServiceId()
    if (serviceId === SID_AUTH_REQUEST) {
      const { reply, close } = this.handshake.receiveRequest(message)
      return { answer: [reply.getStatus(0), reply.getData()], close }
    }
    if (serviceId === SID_AUTH_RESPONSE) {
      this.handshake.receiveResponse(message)
      return undefined
    }
    if (message.getDataId() !== DID_CHANNEL_NAME) return undefined
    if (serviceId === SID_CHANNEL_NAME_REQUEST) {
      return { answer: this.name.receiveRequest(message.getData()) }
    }
    this.name.receiveResponse(message.getData())
    return undefined
  }

  onMessage(message: DataStorage): void {
    this.#trace('RX', message.toJSON() as Fields)
  }

  onRefused(reason: string, message: DataStorage): void {
    this.#countRefused(`${reason}: ${this.#describe(message)}`)
  }

  onMalformed(error: FdwireError): void {
    this.#counts.malformed++
    this.log('warn', `${error.message} (${error.code})`)
    this.#emit('malformed', error)
  }

  onLateResponse(message: DataStorage): void {
    this.#counts.lateResponses++
    this.log('info', `late response dropped: ${this.#describe(message)}`)
  }

  onCallbackError(error: unknown, message: DataStorage): void {
    this.log('error', `the callback failed: ${this.#describe(message)}: ${describeError(error)}`)
  }

  closeConnection(error: FdwireError): void {
    this.log('error', `the connection is closed: ${error.message}`)
    this.#closeReason = error
    this.#endedBy = 'caller'
    if (this.transport.disconnect === undefined) void this.#reconnect()
    else this.transport.disconnect()
  }

  /** Ends the connection, if there is one, and makes another. Returns what the transport returns. */
  reconnect(): ReturnType<Transport['reconnect']> {
    this.#endedBy = 'caller'
    return this.transport.reconnect()
  }

  async #reconnect(): Promise<void> {
    try {
      await this.reconnect()
    } catch (error) {
      this.log('error', `reconnect: ${describeError(error)}`)
    }
  }

  #receive(body: Uint8Array): Promise<void> | undefined {
    if (this.#state === 'closed') return undefined
    this.#counts.received++
    return this.inbound.receive(body)
  }

  #onConnect(): void {
    if (this.#state !== 'disconnected') return
    this.#state = 'connected'
    this.#closeReason = undefined
    this.#endedBy = 'peer'
    this.log('info', 'connected')
    const { autoAuth, mutual } = this.#options
    const { IS_CLIENT } = this.transport
    if (IS_CLIENT) {
      const data = this.name.request()
      const ids = { service_id: SID_CHANNEL_NAME_REQUEST, data_id: DID_CHANNEL_NAME }
      this.#post({ ...ids, status: STATUS_OKAY, data })
    }
    if (autoAuth && (IS_CLIENT || mutual) && this.handshake.isRequired) {
      void this.handshake.begin(AUTO_AUTH_TIMEOUT)
    }
    this.connected.update()
    this.ready.update()
    this.#emit('connect')
  }

  #onDisconnect(reported?: Error): void {
    if (this.#state !== 'connected') return
    this.#state = 'disconnected'
    const error = this.#closeReason ?? reported
    this.#closeReason = undefined
    if (error === undefined) this.log('info', 'disconnected')
    else this.log('warn', `disconnected: ${error.message}`)
    this.inbound.reset()
    this.handshake.reset()
    this.name.reset()
    this.pending.rejectAll(() => closedError('request', this.#endedBy))
    // A buffered response belongs to a request of the connection that has ended.
    this.buffers.dropWhere(message => this.services.isResponse(message.getServiceId(0)))
    this.#onTrustChange()
    this.#emit('disconnect', error)
  }

  #post(fields: Fields): void {
    const { connection } = this.inbound
    void this.reply(fields, connection)
  }

  #onTrustChange(): void {
    const { isProven } = this.handshake
    if (isProven !== this.#reportedTrust) {
      this.#reportedTrust = isProven
      this.log('info', isProven ? 'the connection is trusted' : 'the connection is not trusted')
      this.#emit('authentification', isProven)
    }
    this.inbound.update()
    this.ready.update()
  }

  #onNameChange(name: string): void {
    this.transport.initChannelName(name)
    // The prefix of the line shows it.
    this.log('info', 'the channel has a new name')
  }

  #onDropped(message: DataStorage): void {
    this.#counts.dropped++
    this.log('warn', `dropped, since no receive call took it: ${this.#describe(message)}`)
    this.#emit('dropped', message)
  }

  #countRefused(reason: string): void {
    this.#counts.refused++
    this.log('warn', `refused: ${reason}`)
  }

  #trace(direction: 'TX' | 'RX', fields: Fields): void {
    if (this.#options.logger === SILENT) return
    const { service_id, data_id, status } = fields
    this.log('debug', `${direction} ${this.services.describe(service_id, data_id, status)}`)
  }

  #describe(message: DataStorage): string {
    const { service_id, data_id, status } = message.toJSON() as Fields
    return this.services.describe(service_id, data_id, status)
  }

  async #close(): Promise<void> {
    this.ready.close()
    this.connected.close()
    this.buffers.close()
    this.#endedBy = 'caller'
    const closed = this.transport.close?.()
    this.#onDisconnect()
    await closed
  }
}

/** Describes what was thrown and where, without the error's message, which may contain data. */
function describeError(thrown: unknown): string {
  if (!(thrown instanceof Error)) return 'a value that is not an Error was thrown'
  try {
    const { name, message, stack = '' } = thrown
    const afterMessage = stack.slice(stack.lastIndexOf(message) + message.length)
    const [frame = ''] = /\bat .*/.exec(afterMessage) ?? []
    return `${name} ${frame}`.trim()
  } catch {
    return 'an Error that cannot be read was thrown'
  }
}
