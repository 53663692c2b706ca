import { type Fields, type Form, isId } from '../../options/socket_protocol.js'
import { FdwireError } from '../../util/errors.js'
import { BodyError, decodeBody } from '../../wire/encodings/socket_protocol.js'
import { BackPressure } from './back-pressure.js'
import type { Buffers } from './buffers.js'
import {
  STATUS_AUTH_REQUIRED,
  STATUS_BUFFERING_UNHANDLED_REQUEST,
  STATUS_CALLBACK_ERROR,
  STATUS_CHECKSUM_ERROR,
  STATUS_OPERATION_NOT_PERMITTED,
  STATUS_SERVICE_OR_DATA_UNKNOWN,
} from './constants.js'
import { DataStorage } from './data-storage.js'
import type { PendingRequests } from './pending-requests.js'
import { RequestQueues } from './request-queues.js'
import { type Callbacks, isReserved, keyOf, type Registered, type Services } from './services.js'
import { within } from './wait.js'

/** The answer to a request. */
type Answer = readonly [status: number, data?: unknown]

/** The answer to a request of a built-in service. */
export interface BuiltInAnswer {
  answer: Answer
  /** Whether to close the connection after it. */
  close?: boolean | undefined
}

/** The parts of a session that receiving uses. */
export interface InboundHost {
  readonly services: Services
  readonly callbacks: Callbacks
  readonly buffers: Buffers
  readonly pending: PendingRequests
  /** Sends an answer if the connection is still `connection`. Returns false if that fails. */
  reply(fields: Fields, connection: number): Promise<boolean>
  /** Whether the peer may send such a message. */
  isPermitted(serviceId: number, dataId: number): boolean
  /** Whether a call of this side waits for a message of the peer. */
  isAwaitingPeer(): boolean
  /** Handles a message of a built-in service; returns the answer to a request. */
  handleBuiltIn(message: DataStorage): BuiltInAnswer | undefined
  onMessage(message: DataStorage): void
  onRefused(reason: string, message: DataStorage): void
  onMalformed(error: BodyError): void
  onLateResponse(message: DataStorage): void
  onCallbackError(error: unknown, message: DataStorage): void
  /** Closes the connection because of this error. */
  closeConnection(error: FdwireError): void
}

/** The answer to an unknown request of a built-in service. */
const UNKNOWN_REQUEST: BuiltInAnswer = { answer: [STATUS_OPERATION_NOT_PERMITTED] }

/** How long the last answer may take before the connection is closed (ms). */
const LAST_ANSWER_TIMEOUT = 1_000

/** Dispatches received messages to pending requests, callbacks and buffers. Answers requests. */
export class Inbound {
  readonly #host: InboundHost
  readonly #form: Form
  readonly #limits: { maxWaiting: number; maxWaitingBytes: number }
  readonly #requests: RequestQueues
  readonly #backPressure: BackPressure
  #connection = 0
  /** `ignoring`: the connection is being closed, and its messages are ignored. */
  #state: 'receiving' | 'ignoring' = 'receiving'

  constructor(
    host: InboundHost,
    form: Form,
    limits: { maxWaiting: number; maxWaitingBytes: number },
  ) {
    this.#host = host
    this.#form = form
    this.#limits = limits
    const { maxWaiting, maxWaitingBytes } = limits
    this.#requests = new RequestQueues({
      crowded: Math.ceil(maxWaiting / 16),
      max: maxWaiting,
      maxBytes: maxWaitingBytes,
    })
    this.#backPressure = new BackPressure(this.#requests, () => host.isAwaitingPeer())
  }

  /**
   * The number of the current connection. An answer is only sent on the connection of its request.
   */
  get connection(): number {
    return this.#connection
  }

  /** Handles a body. If it returns a promise, the transport must not read until that resolves. */
  receive(bytes: Uint8Array): Promise<void> | undefined {
    if (this.#state === 'ignoring') return undefined
    try {
      this.#dispatch(new DataStorage(decodeBody(this.#form, bytes)), bytes.length)
    } catch (error) {
      if (!(error instanceof BodyError)) throw error
      this.#dispatchMalformed(error, bytes.length)
      this.#host.onMalformed(error)
    }
    return this.#backPressure.resumed
  }

  /**
   * Lets the transport read on if possible. Call it when a call begins or ends to wait for the
   * peer.
   */
  update(): void {
    this.#backPressure.update()
  }

  /** Drops everything that belongs to the connection, after it has ended. */
  reset(): void {
    this.#connection++
    this.#state = 'receiving'
    this.#requests.clear()
    this.update()
  }

  #dispatch(message: DataStorage, bytes: number): void {
    const { services, pending } = this.#host
    const { service_id, data_id } = message.toJSON() as Fields
    this.#host.onMessage(message)
    const responseSid = services.responseTo(service_id)
    if (isReserved(service_id)) {
      if (responseSid === undefined) {
        this.#host.handleBuiltIn(message)
      } else {
        this.#enqueue(service_id, data_id, bytes, connection =>
          this.#answerBuiltIn(message, responseSid, connection),
        )
      }
      return
    }
    const isPermitted = this.#host.isPermitted(service_id, data_id)
    if (responseSid !== undefined) {
      this.#enqueue(service_id, data_id, bytes, async connection => {
        const answer = await this.#answer(message, bytes, isPermitted)
        await this.#send(answer, responseSid, data_id, connection)
      })
      return
    }
    const recipient = pending.takeNext(service_id, data_id)
    if (typeof recipient === 'object') recipient.resolve(message)
    else if (recipient === 'abandoned') this.#host.onLateResponse(message)
    else if (recipient === 'sent' || isPermitted) this.#deliver(message, bytes)
    else this.#host.onRefused('the connection is not trusted', message)
    this.update()
  }

  /** Handles a malformed body whose ids can be read: answers a request, rejects with a response. */
  #dispatchMalformed(error: BodyError, bytes: number): void {
    const { ids } = error
    if (ids === undefined) return
    const responseSid = this.#host.services.responseTo(ids.service_id)
    if (responseSid === undefined) {
      const recipient = this.#host.pending.takeNext(ids.service_id, ids.data_id)
      if (typeof recipient === 'object') recipient.reject(error)
      return
    }
    const isDamaged = error.code === 'ERR_FDWIRE_BAD_CHECKSUM'
    const status = isDamaged ? STATUS_CHECKSUM_ERROR : STATUS_OPERATION_NOT_PERMITTED
    this.#enqueue(ids.service_id, ids.data_id, bytes, connection =>
      this.#send([status, null], responseSid, ids.data_id, connection),
    )
  }

  /** Queues the work for a message. `job` gets the number of the message's connection. */
  #enqueue(
    serviceId: number,
    dataId: number,
    bytes: number,
    job: (connection: number) => Promise<void>,
  ): void {
    const connection = this.#connection
    const isAdded = this.#requests.add(keyOf(serviceId, dataId), bytes, async done => {
      try {
        await job(connection)
      } finally {
        done()
        this.update()
      }
    })
    if (isAdded) return
    const { maxWaiting, maxWaitingBytes } = this.#limits
    this.#closeConnection(
      new FdwireError(
        'ERR_FDWIRE_QUEUE_FULL',
        `The peer's requests exceed maxWaiting (${maxWaiting}) or maxWaitingBytes (${maxWaitingBytes})`,
        { fault: 'peer' },
      ),
    )
  }

  async #answerBuiltIn(
    message: DataStorage,
    responseSid: number,
    connection: number,
  ): Promise<void> {
    const { answer, close } = this.#host.handleBuiltIn(message) ?? UNKNOWN_REQUEST
    const sent = this.#send(answer, responseSid, message.getDataId(0), connection)
    if (close) {
      this.#ignore()
      await within(sent, { timeout: LAST_ANSWER_TIMEOUT }, undefined)
      if (connection === this.#connection) {
        this.#host.closeConnection(
          new FdwireError(
            'ERR_FDWIRE_HANDSHAKE',
            'The peer has used all its attempts to prove itself (maxAttempts)',
          ),
        )
      }
    }
    await sent
  }

  async #answer(message: DataStorage, bytes: number, wasPermitted: boolean): Promise<Answer> {
    const { services, callbacks } = this.#host
    const { service_id, data_id } = message.toJSON() as Fields
    if (!wasPermitted || !this.#host.isPermitted(service_id, data_id)) {
      this.#host.onRefused('the connection is not trusted', message)
      return [STATUS_AUTH_REQUIRED, null]
    }
    const registered = callbacks.find(service_id, data_id)
    if (registered !== undefined) return this.#call(registered, message)
    if (services.isUnknown(service_id, data_id)) return [STATUS_SERVICE_OR_DATA_UNKNOWN, null]
    this.#host.buffers.push(message, bytes)
    return [STATUS_BUFFERING_UNHANDLED_REQUEST, null]
  }

  async #call({ callback, args }: Registered, message: DataStorage): Promise<Answer> {
    try {
      const answer = await callback(message, ...args)
      if (isAnswer(answer)) return answer
      throw new TypeError('The callback of a request must return [status] or [status, data]')
    } catch (error) {
      this.#host.onCallbackError(error, message)
      return [STATUS_CALLBACK_ERROR, null]
    }
  }

  /** Gives a message that is not a request to its callback, or buffers it. */
  #deliver(message: DataStorage, bytes: number): void {
    const { service_id, data_id } = message.toJSON() as Fields
    const registered = this.#host.callbacks.find(service_id, data_id)
    if (registered === undefined) {
      this.#host.buffers.push(message, bytes)
      return
    }
    this.#enqueue(service_id, data_id, bytes, async () => {
      try {
        await registered.callback(message, ...registered.args)
      } catch (error) {
        this.#host.onCallbackError(error, message)
      }
    })
  }

  /** Sends an answer. Replaces one that cannot be sent, because every request needs an answer. */
  async #send(
    answer: Answer,
    responseSid: number,
    dataId: number,
    connection: number,
  ): Promise<void> {
    const [status, data] = answer
    const ids = { service_id: responseSid, data_id: dataId }
    if (await this.#host.reply({ ...ids, status, data: data ?? null }, connection)) return
    const replacement = { ...ids, status: STATUS_CALLBACK_ERROR, data: null }
    if (await this.#host.reply(replacement, connection)) return
    // The peer matches responses by their order, so it would take later answers for this one.
    if (connection !== this.#connection) return
    this.#closeConnection(
      new FdwireError('ERR_FDWIRE_UNENCODABLE', 'An answer to the peer could not be sent'),
    )
  }

  #closeConnection(error: FdwireError): void {
    if (this.#state === 'ignoring') return
    this.#ignore()
    this.#host.closeConnection(error)
  }

  /** Drops waiting requests and ignores messages until the next connection. */
  #ignore(): void {
    this.#state = 'ignoring'
    this.#requests.clear()
    this.update()
  }
}

function isAnswer(value: unknown): value is Answer {
  return Array.isArray(value) && (value.length === 1 || value.length === 2) && isId(value[0])
}
