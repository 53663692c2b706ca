import type { Fields, Form } from '../../options/socket_protocol.js'
import { abortError, closedError, FdwireError, timeoutError } from '../../util/errors.js'
import { encodeBody } from '../../wire/encodings/socket_protocol.js'
import type { DataStorage } from './data-storage.js'
import type { Gate } from './gate.js'
import type { Pending, Place } from './pending.js'
import type { Services } from './services.js'
import type { Transport } from './transport.js'
import { stopwatch, type Wait, within } from './waiting.js'

/** How long `request` waits for a connection where it has no time limit (ms): as long as `send`. */
const CONNECTION_TIMEOUT = 2_000

/** Responses that a peer may owe us, those included for which nobody waits any more. */
const MAX_PLACES = 65_536

/** How long a full queue is left alone (ms), unless something is known to have gone out of it. */
const MOMENT = 50

/** What a protocol object lends to who sends. */
export interface OutboundHost {
  readonly transport: Transport
  readonly services: Services
  readonly pending: Pending
  /** Whoever sends waits here for a connection. */
  readonly ready: Gate
  /** Whether there is one. */
  readonly isUp: boolean
}

/** What goes out: plain messages, requests with the places of their responses, and answers. */
export class Outbound {
  readonly #host: OutboundHost
  readonly #form: Form
  readonly #maxRequests: number
  readonly #sent: (fields: Fields) => void
  /** Posts that wait for room. */
  readonly #line: (() => void)[] = []

  /** `sent` is called with each message that is given to the transport. */
  constructor(host: OutboundHost, form: Form, maxRequests: number, sent: (fields: Fields) => void) {
    this.#host = host
    this.#form = form
    this.#maxRequests = maxRequests
    this.#sent = sent
  }

  /** Sends a message as soon as there is a connection; whether the kernel has it in time. */
  async send(fields: Fields, { timeout, signal }: Wait): Promise<boolean> {
    const body = encodeBody(this.#form, fields)
    const { service_id, data_id } = fields
    const responseSid = this.#host.services.responseTo(service_id)
    const left = stopwatch(timeout)
    const transmit = async () => {
      if (responseSid === undefined) return this.#transmit(fields, body, left())
      // Its response has a place too, or it would be taken for that of a request behind it.
      const run = this.#host.pending.addSent(responseSid, data_id)
      try {
        return await this.#transmit(fields, body, left())
      } catch (error) {
        this.#host.pending.withdraw(responseSid, data_id, run)
        throw error
      }
    }
    // What was given to the transport can't be taken back: it keeps its place, whoever gives up.
    const pass = () => within(transmit(), { timeout: 0, signal }, false)
    return (await this.#host.ready.pass(pass, { timeout, signal })) ?? false
  }

  /** Sends a request as soon as there is a connection, and waits for its response. */
  async request(fields: Fields, responseSid: number, wait: Wait): Promise<DataStorage> {
    const body = encodeBody(this.#form, fields)
    const left = stopwatch(wait.timeout)
    const patience = wait.timeout || CONNECTION_TIMEOUT
    const response = await this.#host.ready.pass(
      () => this.#ask(fields, body, responseSid, { ...wait, timeout: left() }, wait.timeout),
      {
        timeout: patience,
        signal: wait.signal,
        isFree: () => this.#host.pending.waiting < this.#maxRequests,
        // Without a limit only the connection is not waited for that long.
        isOver: () => wait.timeout > 0 || !this.#host.isUp,
      },
    )
    if (response !== null) return response
    if (this.#host.ready.isClosed) throw closedError('request')
    const what = this.#host.isUp ? 'its turn did not come' : 'there was no connection'
    throw timeoutError(`request: ${what}`, patience)
  }

  /**
   * Sends without waiting for a connection, as long as `isWanted`; false where it can't be sent.
   *
   * Where the transport's queue is full it waits for room.
   */
  async post(fields: Fields, isWanted: () => boolean): Promise<boolean> {
    let body: Buffer
    try {
      body = encodeBody(this.#form, fields)
    } catch {
      return false
    }
    if (this.#line.length > 0) await this.#room('last')
    while (isWanted()) {
      const outcome = await this.#transmit(fields, body, 0).catch(
        (error: { code?: string }) => error,
      )
      if (typeof outcome !== 'object' || outcome.code !== 'ERR_FDWIRE_QUEUE_FULL') {
        this.#line[0]?.()
        return typeof outcome !== 'object'
      }
      await this.#room('first')
    }
    this.#line[0]?.()
    return true
  }

  /** Waits until something that was posted has gone out, or a moment: others fill the queue too. */
  #room(place: 'first' | 'last'): Promise<void> {
    return new Promise(resolve => {
      const go = () => {
        clearTimeout(timer)
        this.#line.splice(this.#line.indexOf(go), 1)
        resolve()
      }
      const timer = setTimeout(go, MOMENT).unref()
      if (place === 'first') this.#line.unshift(go)
      else this.#line.push(go)
    })
  }

  #ask(
    fields: Fields,
    body: Buffer,
    responseSid: number,
    { timeout, signal }: Wait,
    stated: number,
  ): Promise<DataStorage> {
    if (this.#host.pending.places >= MAX_PLACES) {
      const why = `request: the peer owes ${MAX_PLACES} responses, most of which nobody waits for`
      throw new FdwireError('ERR_FDWIRE_QUEUE_FULL', why)
    }
    return new Promise((resolve, reject) => {
      const settle = (outcome: () => void) => {
        if (timer) clearTimeout(timer)
        signal?.removeEventListener('abort', onAbort)
        outcome()
        // There is room for another one.
        this.#host.ready.open()
      }
      const place: Place = {
        resolve: response => settle(() => resolve(response)),
        reject: error => settle(() => reject(error)),
      }
      const giveUp = (error: Error) => {
        this.#host.pending.giveUp(place)
        place.reject(error)
      }
      const onAbort = () => giveUp(abortError(signal as AbortSignal))
      const late = () => giveUp(timeoutError('request: no response came', stated))
      const timer = timeout > 0 && setTimeout(late, timeout)
      signal?.addEventListener('abort', onAbort, { once: true })
      this.#host.pending.add(responseSid, fields.data_id, place)
      // Where it is not known whether the peer gets it, a response may come: the place stays.
      this.#transmit(fields, body, timeout).catch(error => {
        this.#host.pending.withdraw(responseSid, fields.data_id, place)
        place.reject(error)
      })
    })
  }

  /** Gives a body to the transport, in this very turn. */
  async #transmit(fields: Fields, body: Buffer, timeout: number): Promise<boolean> {
    const sending = this.#host.transport.send(body, { timeout })
    this.#sent(fields)
    return await sending
  }
}
