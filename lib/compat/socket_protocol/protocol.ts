import { EventEmitter } from 'node:events'
import {
  checkCallOptions,
  checkIsObject,
  checkSignal,
  checkTimeout,
  type WaitOptions,
} from '../../options/check.js'
import type { Form } from '../../options/socket_protocol.js'
import { checkId, STATUS_OKAY } from '../../options/socket_protocol.js'
import { abortError } from '../../util/errors.js'
import type { AuthState } from './constants.js'
import type { DataStorage } from './data-storage.js'
import { answered, type Datum, type Serve, serving } from './definitions.js'
import { checkProtocolOptions, type ProtocolOptions } from './options.js'
import { type Callback, isReserved, keyOf } from './services.js'
import { type ProtocolEvents, type ProtocolStats, Session } from './session.js'
import type { Transport } from './transport.js'
import { stopwatch, type Wait, within } from './waiting.js'

/** What `send` takes beside its data. */
export interface SendOptions extends WaitOptions {
  /** The status (STATUS_OKAY): requests should have that. */
  status?: number | undefined
}

const RECEIVE_TIMEOUT = 1_000
const TIMEOUT = 2_000

/**
 * Services, callbacks, authentication and names over a {@link Transport}.
 *
 * See docs/protocols/socket_protocol.md. What the original calls `pure_json_protocol` and
 * `struct_json_protocol` are the two classes below, which differ in their bytes only.
 */
export abstract class Protocol extends EventEmitter<ProtocolEvents> {
  readonly #session: Session

  /** @internal */
  constructor(form: Form, transport: Transport, options: ProtocolOptions) {
    super()
    const emit: EventEmitter<ProtocolEvents>['emit'] = (event, ...args) => this.emit(event, ...args)
    this.#session = new Session(form, transport, checkProtocolOptions(options), emit)
  }

  /** What carries the messages. */
  get transport(): Transport {
    return this.#session.transport
  }

  /** The channel's name; null where nobody has given one. */
  get channelName(): string | null {
    return this.#session.name.value
  }

  /** How far authentication is: one of `AUTH_STATE_…`. */
  get authentificationState(): AuthState {
    return this.#session.handshake.state
  }

  /** What was done so far, and what waits. */
  get stats(): ProtocolStats {
    return this.#session.stats
  }

  /**
   * Adds a service: requests with one id, responses with another.
   *
   * # Errors
   * RequestSidExistsError, ResponseSidExistsError.
   */
  addService(requestSid: number, responseSid: number, requestName = '', responseName = ''): this {
    this.#session.services.add(requestSid, responseSid, requestName, responseName)
    return this
  }

  /**
   * Names a datum of a service, or of several.
   *
   * From then on the service knows its data: a request for another one that has no callback is
   * answered with STATUS_SERVICE_OR_DATA_UNKNOWN.
   */
  addData(serviceId: number | readonly number[], dataId: number, name: string): this {
    this.#session.services.addData(serviceId, dataId, name)
    return this
  }

  /** Names a status. */
  addStatus(status: number, name: string): this {
    this.#session.services.addStatus(status, name)
    return this
  }

  /** Lets a message through though the connection isn't trusted. */
  addMsgToAuthWhitelist(serviceId: number, dataId: number): this {
    checkId('The service id', serviceId)
    checkId('The data id', dataId)
    this.#session.whitelist.add(keyOf(serviceId, dataId))
    return this
  }

  /**
   * Registers who is called for a service and datum; null is for any.
   *
   * The most specific one is called: (service, datum), (service, any), (any, datum), (any, any); the
   * extra arguments stand behind the message. For a request of a service it returns
   * `[status, data]`, or a promise for it, which is sent back. The requests of one service and datum
   * are worked off one after another.
   */
  registerCallback<A extends unknown[]>(
    serviceId: number | null,
    dataId: number | null,
    callback: (message: DataStorage, ...args: A) => unknown,
    ...args: A
  ): this {
    const registered = { callback: callback as Callback, args }
    if (this.#session.callbacks.add(serviceId, dataId, registered)) {
      this.#session.log('warn', `the callback for ${keyOf(serviceId, dataId)} was replaced`)
    }
    return this
  }

  /**
   * Proves to the peer that we know the secret; whether it believes that in time (ms, 2,000).
   *
   * The time includes waiting for a connection. Without a secret it is false.
   */
  async authentificate(options: WaitOptions = {}): Promise<boolean> {
    checkCallOptions('authentificate', options, ['timeout', 'signal'])
    const timeout = checkTimeout(options.timeout, TIMEOUT)
    const signal = checkSignal(options.signal)
    if (!this.#session.handshake.isNeeded) return false
    if (this.#session.handshake.isAccepted) return true
    const left = stopwatch(timeout)
    const begin = () => {
      const wait = { timeout: left(), signal }
      // An attempt may be under way that has more time, and it goes on where we give up.
      return within(this.#session.handshake.begin(wait.timeout), wait, false)
    }
    return (await this.#session.connected.pass(begin, { timeout, signal })) ?? false
  }

  /** Whether the connection is trusted by a proof. */
  checkAuthentificationState(): boolean {
    return this.#session.handshake.isProven
  }

  /** Whether there is a connection, and it is trusted where there is a secret. */
  connectionEstablished(): boolean {
    return this.isConnected() && this.#session.handshake.isTrusted
  }

  /** Whether there is a connection. */
  isConnected(): boolean {
    return this.#session.transport.isConnected()
  }

  /** Ends the connection, and makes another; whether that was made. */
  async reconnect(): Promise<boolean> {
    return (await this.#session.transport.reconnect()) ?? this.isConnected()
  }

  /**
   * Waits for a message that no callback took (ms, 1,000; 0: for ever); null when none comes.
   *
   * # Errors
   * AbortError.
   */
  async receive(
    serviceId: number,
    dataId: number,
    options: WaitOptions = {},
  ): Promise<DataStorage | null> {
    checkIds(serviceId, dataId)
    const { timeout, signal } = checkWait('receive', options, RECEIVE_TIMEOUT)
    const message = this.#session.buffers.take(serviceId, dataId, timeout, signal)
    this.#session.inbound.update()
    return message
  }

  /**
   * Sends a message; true when the kernel has it, false when it had not in time (ms, 2,000; 0: no
   * limit), which includes waiting for a connection.
   *
   * # Errors
   * ERR_FDWIRE_UNENCODABLE for data that JSON can't carry, a TypeError or RangeError for ids that are
   * none; what the transport says of a body that it can't carry.
   */
  async send(
    serviceId: number,
    dataId: number,
    data: unknown = null,
    options: SendOptions = {},
  ): Promise<boolean> {
    checkIds(serviceId, dataId)
    checkIsObject('send', options)
    const { status: given, ...rest } = options
    const status = given === undefined ? STATUS_OKAY : checkId('status', given)
    const wait = checkWait('send', rest, TIMEOUT, ['status'])
    return this.#session.outbound.send(
      { status, service_id: serviceId, data_id: dataId, data },
      wait,
    )
  }

  /**
   * Sends a request and waits for its response, whatever its status is.
   *
   * Several may be under way: responses are matched in order. One that is given up keeps its place,
   * so that its late response is dropped. The time limit (ms, 0: none) includes waiting for a
   * connection, for which there are 2,000 without one. Nothing is sent a second time.
   *
   * # Errors
   * ERR_FDWIRE_TIMEOUT, AbortError; ERR_FDWIRE_CLOSED when the connection ends before the response;
   * ERR_FDWIRE_BAD_CHECKSUM and its like for a response that can't be read; those of `send`.
   */
  async request(
    serviceId: number,
    dataId: number,
    data: unknown = null,
    options: WaitOptions = {},
  ): Promise<DataStorage> {
    checkIds(serviceId, dataId)
    const wait = checkWait('request', options, 0)
    const responseSid = this.#session.services.responseTo(serviceId)
    if (responseSid === undefined) {
      throw new RangeError(`Service ${serviceId} has no response: addService makes it known`)
    }
    const fields = { status: STATUS_OKAY, service_id: serviceId, data_id: dataId, data }
    const response = this.#session.outbound.request(fields, responseSid, wait)
    this.#session.inbound.update()
    return response
  }

  /**
   * Serves a datum: the typed `registerCallback`. A {@link Refusal} that is thrown says the status.
   */
  serve<Request, Response>(datum: Datum<Request, Response>, serve: Serve<Request, Response>): this {
    const { requestSid, dataId, name } = datum
    this.addData(requestSid, dataId, name)
    return this.registerCallback(requestSid, dataId, serving(datum, serve))
  }

  /**
   * Asks for a datum: the typed `request`. Resolves to the data of the response.
   *
   * # Errors
   * {@link StatusError} where the status isn't STATUS_OKAY; those of `request`.
   */
  async call<Request, Response>(
    datum: Datum<Request, Response>,
    data: Request,
    options: WaitOptions = {},
  ): Promise<Response> {
    return answered(datum, await this.request(datum.requestSid, datum.dataId, data, options))
  }

  /** Ends everything, and the transport where that can be. A second call gives the same promise. */
  close(): Promise<void> {
    return this.#session.close()
  }

  /** The same as `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/** A protocol object whose bodies are one JSON object each, and a checksum. */
export class PureJsonProtocol extends Protocol {
  constructor(transport: Transport, options: ProtocolOptions = {}) {
    super('pure_json', transport, options)
  }
}

/** The same with shorter bodies: the ids are twelve bytes before the data. */
export class StructJsonProtocol extends Protocol {
  constructor(transport: Transport, options: ProtocolOptions = {}) {
    super('struct_json', transport, options)
  }
}

function checkIds(serviceId: unknown, dataId: unknown): void {
  const id = checkId('The service id', serviceId)
  checkId('The data id', dataId)
  if (isReserved(id)) throw new RangeError(`Service ${id} is the protocol's own`)
}

function checkWait(call: string, options: WaitOptions, timeout: number, more: string[] = []): Wait {
  checkCallOptions(call, options, ['timeout', 'signal', ...more])
  const signal = checkSignal(options.signal)
  if (signal?.aborted) throw abortError(signal)
  return { timeout: checkTimeout(options.timeout, timeout), signal }
}
