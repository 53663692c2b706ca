import { setTimeout as sleep } from 'node:timers/promises'
import { type Fields, type Form, isId } from '../../options/socket_protocol.js'
import { BodyError, decodeBody } from '../../wire/encodings/socket_protocol.js'
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
import { Hold } from './hold.js'
import type { Pending } from './pending.js'
import { Responder } from './responder.js'
import { type Callbacks, isReserved, keyOf, type Registered, type Services } from './services.js'

/** What is answered: a status and data. */
type Answer = readonly [status: number, data?: unknown]

/** What is answered to a request of the protocol's own services, and what comes of it. */
export interface Own {
  answer: Answer
  /** The connection is to be closed behind it. */
  close?: boolean | undefined
}

/** What a protocol object lends to who sorts its messages. */
export interface InboundHost {
  readonly services: Services
  readonly callbacks: Callbacks
  readonly buffers: Buffers
  readonly pending: Pending
  /** Sends an answer over the connection that it is for; false where it can't be sent. */
  reply(fields: Fields, connection: number): Promise<boolean>
  /** Whether a message is taken from this peer. */
  isPermitted(serviceId: number, dataId: number): boolean
  /** Whether we wait for something from the peer, so that holding what it sends could be for ever. */
  isAwaiting(): boolean
  /** Takes a message of the protocol's own services; the answer to a request. */
  own(message: DataStorage): Own | undefined
  /** A message has come. */
  heard(message: DataStorage): void
  /** Something was refused. */
  refused(why: string, message: DataStorage): void
  malformed(error: BodyError): void
  late(message: DataStorage): void
  callbackFailed(error: unknown, message: DataStorage): void
  /** Closes the connection. */
  condemn(why: string): void
}

/** Sorts what comes in: to a request that waits, to a callback, to a buffer, or back to its sender. */
export class Inbound {
  readonly #host: InboundHost
  readonly #form: Form
  readonly #responder: Responder
  readonly #hold: Hold
  /** The number of the connection. */
  #connection = 0
  #condemned = false

  constructor(
    host: InboundHost,
    form: Form,
    { maxWaiting, maxWaitingBytes }: { maxWaiting: number; maxWaitingBytes: number },
  ) {
    this.#host = host
    this.#form = form
    this.#responder = new Responder({
      held: Math.ceil(maxWaiting / 16),
      most: maxWaiting,
      mostBytes: maxWaitingBytes,
    })
    this.#hold = new Hold(this.#responder, () => host.isAwaiting())
  }

  /** The number of the connection, which an answer is for. */
  get connection(): number {
    return this.#connection
  }

  /** Takes a body; a promise where the transport shall hold the next one until it is settled. */
  receive(bytes: Uint8Array): Promise<void> | undefined {
    if (this.#condemned) return undefined
    try {
      this.#take(new DataStorage(decodeBody(this.#form, bytes)), bytes.length)
    } catch (error) {
      if (!(error instanceof BodyError)) throw error
      this.#takeMalformed(error, bytes.length)
      this.#host.malformed(error)
    }
    return this.#hold.wait
  }

  /** Lets the transport go on, if nothing is against it any more. */
  update(): void {
    this.#hold.update()
  }

  /** The connection is gone: nobody is answered any more. */
  reset(): void {
    this.#connection++
    this.#condemned = false
    this.#responder.clear()
    this.update()
  }

  #take(message: DataStorage, bytes: number): void {
    const { services, pending } = this.#host
    const { service_id, data_id } = message.toJSON() as Fields
    this.#host.heard(message)
    const responseSid = services.responseTo(service_id)
    if (isReserved(service_id)) {
      if (responseSid === undefined) this.#host.own(message)
      else
        this.#enqueue(service_id, data_id, bytes, to => this.#answerOwn(message, responseSid, to))
      return
    }
    const isPermitted = this.#host.isPermitted(service_id, data_id)
    if (responseSid !== undefined) {
      this.#enqueue(service_id, data_id, bytes, async to => {
        const answer = await this.#answer(message, bytes, isPermitted)
        await this.#send(answer, responseSid, data_id, to)
      })
      return
    }
    const turn = pending.next(service_id, data_id)
    if (typeof turn === 'object') turn.resolve(message)
    else if (turn === 'late') this.#host.late(message)
    else if (turn === 'sent' || isPermitted) this.#deliver(message, bytes)
    else this.#host.refused('the connection is not trusted', message)
    this.update()
  }

  /** A message that can't be read: where its ids can, a request has its answer, and a response its request. */
  #takeMalformed(error: BodyError, bytes: number): void {
    const { ids } = error
    if (ids === undefined) return
    const responseSid = this.#host.services.responseTo(ids.service_id)
    if (responseSid === undefined) {
      const turn = this.#host.pending.next(ids.service_id, ids.data_id)
      if (typeof turn === 'object') turn.reject(error)
      return
    }
    const isDamaged = error.code === 'ERR_FDWIRE_BAD_CHECKSUM'
    const status = isDamaged ? STATUS_CHECKSUM_ERROR : STATUS_OPERATION_NOT_PERMITTED
    this.#enqueue(ids.service_id, ids.data_id, bytes, connection =>
      this.#send([status, null], responseSid, ids.data_id, connection),
    )
  }

  /** Has something done for a message when its turn comes, for the connection that it came by. */
  #enqueue(
    serviceId: number,
    dataId: number,
    bytes: number,
    job: (connection: number) => Promise<void>,
  ): void {
    const connection = this.#connection
    const isAdded = this.#responder.add(keyOf(serviceId, dataId), bytes, async done => {
      try {
        await job(connection)
      } finally {
        done()
        this.update()
      }
    })
    if (!isAdded) this.#condemn('more requests wait than are allowed')
  }

  async #answerOwn(message: DataStorage, responseSid: number, connection: number): Promise<void> {
    const { answer, close } = this.#host.own(message) ?? NOTHING
    const sent = this.#send(answer, responseSid, message.getDataId(0), connection)
    if (close) {
      // Nothing more is taken from it; the answer has a moment to go out.
      this.#ignore()
      await Promise.race([sent, sleep(FAREWELL, undefined, { ref: false })])
      if (connection === this.#connection) this.#host.condemn('too many attempts to prove itself')
    }
    await sent
  }

  async #answer(message: DataStorage, bytes: number, wasPermitted: boolean): Promise<Answer> {
    const { services, callbacks } = this.#host
    const { service_id, data_id } = message.toJSON() as Fields
    if (!wasPermitted || !this.#host.isPermitted(service_id, data_id)) {
      this.#host.refused('the connection is not trusted', message)
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
      throw new TypeError('The callback of a request must return [status, data]')
    } catch (error) {
      this.#host.callbackFailed(error, message)
      return [STATUS_CALLBACK_ERROR, null]
    }
  }

  /** A message that is no request: its callback, or the buffer. */
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
        this.#host.callbackFailed(error, message)
      }
    })
  }

  /** Sends an answer; one that can't be sent is replaced, since there is always one. */
  async #send(
    answer: Answer,
    responseSid: number,
    dataId: number,
    connection: number,
  ): Promise<void> {
    const [status, data] = answer
    const fields = { service_id: responseSid, data_id: dataId }
    if (await this.#host.reply({ ...fields, status, data: data ?? null }, connection)) return
    const instead = { ...fields, status: STATUS_CALLBACK_ERROR, data: null }
    if (await this.#host.reply(instead, connection)) return
    // Without it the answers behind it would be taken for those of other requests.
    if (connection === this.#connection) this.#condemn('an answer could not be sent')
  }

  #condemn(why: string): void {
    if (this.#condemned) return
    this.#ignore()
    this.#host.condemn(why)
  }

  /** Neither what waits nor what comes is taken, until there is another connection. */
  #ignore(): void {
    this.#condemned = true
    this.#responder.clear()
    this.update()
  }
}

/** What is answered to a step that there isn't. */
const NOTHING: Own = { answer: [STATUS_OPERATION_NOT_PERMITTED] }

/** How long an answer may take, before the connection is closed behind it (ms). */
const FAREWELL = 1_000

function isAnswer(value: unknown): value is Answer {
  return Array.isArray(value) && (value.length === 1 || value.length === 2) && isId(value[0])
}
