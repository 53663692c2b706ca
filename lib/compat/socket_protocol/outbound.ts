import type { Fields, Form } from '../../options/socket_protocol.js'
import { closedError, errorCode, FdwireError, timeoutError } from '../../util/errors.js'
import { clearTimeout, setTimeout } from '../../util/timers.js'
import { Deadline, startLimits, type WaitLimits } from '../../util/wait.js'
import { encodeBody } from '../../wire/encodings/socket_protocol.js'
import type { DataStorage } from './data-storage.js'
import type { PendingRequest, PendingRequests } from './pending-requests.js'
import type { Services } from './services.js'
import type { Transport } from './transport.js'
import { within } from './wait.js'
import type { WaitQueue } from './wait-queue.js'

/** How long a request without a timeout waits for a connection (ms). */
const CONNECTION_TIMEOUT = 2_000

/** Requests in flight, including abandoned ones, at which further ones are refused. */
const MAX_IN_FLIGHT = 65_536

/** How long a message waits for room in a full queue before it is tried again (ms). */
const RETRY_DELAY = 50

/** The parts of a session that sending uses. */
export interface OutboundHost {
  readonly transport: Transport
  readonly services: Services
  readonly pending: PendingRequests
  /** The messages that wait for a connection. */
  readonly ready: WaitQueue
  readonly isConnected: boolean
}

/** Sends messages, requests and answers. */
export class Outbound {
  readonly #host: OutboundHost
  readonly #form: Form
  readonly #maxRequests: number
  readonly #onSent: (fields: Fields) => void
  /**
   * The `post` calls that wait for room in the transport's queue, in order. Each makes one retry.
   */
  readonly #waitingPosts: (() => void)[] = []

  /** `onSent` is called with each message that was handed to the transport. */
  constructor(
    host: OutboundHost,
    form: Form,
    maxRequests: number,
    onSent: (fields: Fields) => void,
  ) {
    this.#host = host
    this.#form = form
    this.#maxRequests = maxRequests
    this.#onSent = onSent
  }

  /**
   * Sends a message as soon as there is a connection. Returns whether the kernel takes it in time.
   */
  async send(fields: Fields, { timeout, signal }: WaitLimits): Promise<boolean> {
    const body = encodeBody(this.#form, fields)
    const { service_id, data_id } = fields
    const responseSid = this.#host.services.responseTo(service_id)
    const deadline = new Deadline(timeout)
    const transmit = async () => {
      if (responseSid === undefined) return this.#transmit(fields, body, deadline.remaining)
      // Without this entry, a later request would get the response.
      const sent = this.#host.pending.addSent(responseSid, data_id)
      try {
        return await this.#transmit(fields, body, deadline.remaining)
      } catch (error) {
        this.#host.pending.remove(responseSid, data_id, sent)
        throw error
      }
    }
    // An abort rejects the call, but cannot take back a message that the transport has.
    const task = () => within(transmit(), { timeout: 0, signal }, false)
    return (await this.#host.ready.run(task, { timeout, signal })) ?? false
  }

  /** Sends a request as soon as there is a connection, and waits for its response. */
  async request(fields: Fields, responseSid: number, limits: WaitLimits): Promise<DataStorage> {
    const body = encodeBody(this.#form, fields)
    const { timeout, signal } = limits
    const deadline = new Deadline(timeout)
    const connectionTimeout = timeout || CONNECTION_TIMEOUT
    const response = await this.#host.ready.run(
      () => this.#sendRequest(fields, body, responseSid, deadline, signal),
      {
        timeout: connectionTimeout,
        signal,
        isFree: () => this.#host.pending.awaited < this.#maxRequests,
        // Without a timeout only the wait for a connection is limited, not that for other requests.
        isExpired: () => timeout > 0 || !this.#host.isConnected,
      },
    )
    if (response !== null) return response
    if (this.#host.ready.isClosed) throw closedError('request')
    const late = this.#host.isConnected
      ? `it waited for earlier messages (maxRequests: ${this.#maxRequests}) and was not sent`
      : 'no connection was made'
    throw timeoutError(`request: ${late}`, connectionTimeout)
  }

  /**
   * Sends a message on the current connection, or as soon as the transport's queue has room, while
   * `isWanted` returns true. Returns false if it cannot be sent.
   */
  async post(fields: Fields, isWanted: () => boolean): Promise<boolean> {
    let body: Buffer
    try {
      body = encodeBody(this.#form, fields)
    } catch {
      return false
    }
    if (this.#waitingPosts.length > 0) await this.#waitForRoom('last')
    while (isWanted()) {
      const result = await this.#tryPost(fields, body)
      if (result !== 'full') {
        this.#retryFirstPost()
        return result === 'sent'
      }
      await this.#waitForRoom('first')
    }
    this.#retryFirstPost()
    return true
  }

  async #tryPost(fields: Fields, body: Buffer): Promise<'sent' | 'full' | 'failed'> {
    try {
      await this.#transmit(fields, body, 0)
      return 'sent'
    } catch (error) {
      return errorCode(error) === 'ERR_FDWIRE_QUEUE_FULL' ? 'full' : 'failed'
    }
  }

  #retryFirstPost(): void {
    this.#waitingPosts[0]?.()
  }

  /** Waits until another `post` call has finished, but at most `RETRY_DELAY`. */
  #waitForRoom(place: 'first' | 'last'): Promise<void> {
    return new Promise(resolve => {
      const retry = () => {
        clearTimeout(timer)
        this.#waitingPosts.splice(this.#waitingPosts.indexOf(retry), 1)
        resolve()
      }
      const timer = setTimeout(retry, RETRY_DELAY).unref()
      if (place === 'first') this.#waitingPosts.unshift(retry)
      else this.#waitingPosts.push(retry)
    })
  }

  #sendRequest(
    fields: Fields,
    body: Buffer,
    responseSid: number,
    deadline: Deadline,
    signal: AbortSignal | undefined,
  ): Promise<DataStorage> {
    const { pending, ready } = this.#host
    if (pending.length >= MAX_IN_FLIGHT) {
      const message = `request: ${MAX_IN_FLIGHT} requests are in flight, most of which were abandoned`
      throw new FdwireError('ERR_FDWIRE_QUEUE_FULL', message)
    }
    return new Promise((resolve, reject) => {
      const settle = (outcome: () => void) => {
        stopLimits()
        outcome()
        // A request that waits for `maxRequests` may be sent now.
        ready.update()
      }
      const request: PendingRequest = {
        resolve: response => settle(() => resolve(response)),
        reject: error => settle(() => reject(error)),
      }
      const abandon = (error: Error) => {
        pending.abandon(request)
        request.reject(error)
      }
      const timeout = deadline.remaining
      const late = () => timeoutError('request: no response arrived', deadline.timeout)
      const stopLimits = startLimits({ timeout, signal }, { late, keepsAlive: true }, abandon)
      pending.add(responseSid, fields.data_id, request)
      // If it resolves to false, the peer may still get the request, which keeps its place.
      this.#transmit(fields, body, timeout).catch(error => {
        pending.remove(responseSid, fields.data_id, request)
        request.reject(error)
      })
    })
  }

  /** Passes a body to the transport, synchronously. Resolves to the transport's result. */
  async #transmit(fields: Fields, body: Buffer, timeout: number): Promise<boolean> {
    const sending = this.#host.transport.send(body, { timeout })
    this.#onSent(fields)
    return await sending
  }
}
