import { EventEmitter } from 'node:events'
import {
  checkCallOptions,
  checkSignal,
  checkTimeout,
  checkWait,
  type WaitOptions,
} from '../../options/check.js'
import { checkId, type Form, STATUS_OKAY } from '../../options/socket_protocol.js'
import { NO_OPTIONS } from '../../util/no-options.js'
import { Deadline } from '../../util/wait.js'
import type { AuthState } from './constants.js'
import type { DataStorage } from './data-storage.js'
import { type Datum, responseData, type Serve, toCallback } from './definitions.js'
import { checkProtocolOptions, checkTransport, type ProtocolOptions } from './options.js'
import { type Callback, isReserved, keyOf } from './services.js'
import { type ProtocolEvents, type ProtocolStats, Session } from './session.js'
import type { Transport } from './transport.js'
import { within } from './wait.js'

/** Options of `send`; `timeout` (ms, 2,000; 0: no limit) includes the wait for a connection. */
export interface SendOptions extends WaitOptions {
  /** The status (default: STATUS_OKAY). Requests should have the default. */
  status?: number | undefined
}

/** Default `timeout` of `receive` (ms). */
const RECEIVE_TIMEOUT = 1_000

/** Default `timeout` of `send` and `authentificate` (ms). */
const SEND_TIMEOUT = 2_000

/**
 * Services, callbacks, authentication and channel names over a {@link Transport}.
 *
 * See docs/protocols/socket_protocol.md. The two subclasses differ only in the form of their
 * bodies. They are the `pure_json_protocol` and `struct_json_protocol` of the original.
 */
export abstract class Protocol extends EventEmitter<ProtocolEvents> {
  readonly #session: Session

  protected constructor(form: Form, transport: Transport, options: ProtocolOptions) {
    super()
    checkTransport(transport)
    const emit: EventEmitter<ProtocolEvents>['emit'] = (event, ...args) => this.emit(event, ...args)
    this.#session = new Session(form, transport, checkProtocolOptions(options), emit)
  }

  /** The transport that carries the messages. */
  get transport(): Transport {
    return this.#session.transport
  }

  /** The channel name that both sides have agreed on; null if neither has set one. */
  get channelName(): string | null {
    return this.#session.name.value
  }

  /** The state of the authentication: one of `AUTH_STATE_…`. */
  get authentificationState(): AuthState {
    return this.#session.handshake.state
  }

  /** Counters, and the numbers of buffered messages and requests in flight. */
  get stats(): ProtocolStats {
    return this.#session.stats
  }

  /**
   * Adds a service with a request id and a response id. The names are for logs. The services read,
   * write and execute exist from the beginning.
   *
   * # Errors
   * RequestSidExistsError, ResponseSidExistsError; TypeError, RangeError for an invalid id.
   */
  addService(requestSid: number, responseSid: number, requestName = '', responseName = ''): this {
    this.#session.services.add(requestSid, responseSid, requestName, responseName)
    return this
  }

  /**
   * Declares a data id of one or several services. The name is for logs.
   *
   * A request for an undeclared data id of such a service is answered with
   * STATUS_SERVICE_OR_DATA_UNKNOWN, unless there is a callback for it.
   *
   * # Errors
   * TypeError, RangeError for an invalid id.
   */
  addData(serviceId: number | readonly number[], dataId: number, name: string): this {
    this.#session.services.addData(serviceId, dataId, name)
    return this
  }

  /**
   * Names a status, for logs.
   *
   * # Errors
   * TypeError, RangeError for an invalid status.
   */
  addStatus(status: number, name: string): this {
    this.#session.services.addStatus(status, name)
    return this
  }

  /**
   * Permits a message even if the connection is not trusted.
   *
   * # Errors
   * TypeError, RangeError for an invalid id.
   */
  addMsgToAuthWhitelist(serviceId: number, dataId: number): this {
    checkId('The service id', serviceId)
    checkId('The data id', dataId)
    this.#session.whitelist.add(keyOf(serviceId, dataId))
    return this
  }

  /**
   * Registers or replaces the callback for a service id and data id; null means any id.
   *
   * The most specific callback is called with the message and the extra arguments. The order is
   * (service, data), (service, any), (any, data), (any, any). For a request it returns the answer,
   * `[status]` or `[status, data]`, or a promise of it. The callbacks for requests of one service
   * id and data id run one after another.
   *
   * # Errors
   * TypeError, RangeError for an invalid or reserved id; TypeError if `callback` is not a function.
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
   * Proves to the peer that this side knows the secret. Resolves to whether the peer accepts the
   * proof within `timeout` (ms, 2,000; 0: no limit), which includes the wait for a connection.
   * Resolves to false without a secret.
   *
   * # Errors
   * AbortError.
   */
  async authentificate(options: WaitOptions = NO_OPTIONS): Promise<boolean> {
    checkCallOptions('authentificate', options, ['timeout', 'signal'])
    const timeout = checkTimeout(options.timeout, SEND_TIMEOUT)
    const signal = checkSignal(options.signal)
    const { handshake, connected } = this.#session
    if (!handshake.isRequired) return false
    if (handshake.isAccepted) return true
    const deadline = new Deadline(timeout)
    const task = () => {
      const { remaining } = deadline
      // An attempt in progress may have a longer timeout. It continues if this call times out.
      return within(handshake.begin(remaining), { timeout: remaining, signal }, false, true)
    }
    return (await connected.run(task, { timeout, signal })) ?? false
  }

  /** Whether the connection is trusted because of a correct key. */
  checkAuthentificationState(): boolean {
    return this.#session.handshake.isProven
  }

  /** Whether there is a connection that is trusted, or needs no trust because no secret is set. */
  connectionEstablished(): boolean {
    return this.isConnected() && this.#session.handshake.isTrusted
  }

  /** Whether there is a connection. */
  isConnected(): boolean {
    return this.#session.transport.isConnected()
  }

  /** Ends the connection and makes another one. Resolves to whether that succeeded. */
  async reconnect(): Promise<boolean> {
    return (await this.#session.reconnect()) ?? this.isConnected()
  }

  /**
   * Waits for a message for which there is no callback; null after `timeout` (ms, 1,000; 0: no
   * limit) and after `close()`.
   *
   * # Errors
   * AbortError; TypeError, RangeError for an invalid or reserved id.
   */
  async receive(
    serviceId: number,
    dataId: number,
    options: WaitOptions = NO_OPTIONS,
  ): Promise<DataStorage | null> {
    checkIds(serviceId, dataId)
    const { timeout, signal } = checkWait('receive', options, RECEIVE_TIMEOUT)
    const message = this.#session.buffers.take(serviceId, dataId, timeout, signal)
    this.#session.inbound.update()
    return message
  }

  /**
   * Sends a message. Resolves to whether the kernel has taken it within `timeout` (ms, 2,000; 0:
   * no limit), which includes the wait for a connection.
   *
   * # Errors
   * ERR_FDWIRE_UNENCODABLE for data that JSON cannot represent; TypeError, RangeError for an
   * invalid or reserved id; AbortError; the transport's error for a body that it cannot carry.
   */
  async send(
    serviceId: number,
    dataId: number,
    data: unknown = null,
    options: SendOptions = NO_OPTIONS,
  ): Promise<boolean> {
    checkIds(serviceId, dataId)
    const limits = checkWait('send', options, SEND_TIMEOUT, ['status'])
    const status = options.status === undefined ? STATUS_OKAY : checkId('status', options.status)
    const fields = { status, service_id: serviceId, data_id: dataId, data }
    return this.#session.outbound.send(fields, limits)
  }

  /**
   * Sends a request and waits for its response, whatever its status.
   *
   * Several requests may be in flight; their responses are matched in order. A request that times
   * out or is aborted is abandoned: its late response is dropped. No request is sent twice.
   * `timeout` (ms, default 0: no limit) includes the wait for a connection. Without a limit, that
   * wait alone is limited to 2,000 ms.
   *
   * # Errors
   * ERR_FDWIRE_TIMEOUT, AbortError; ERR_FDWIRE_PEER_CLOSED if the peer ends the connection before
   * the response arrives, ERR_FDWIRE_CLOSED if this side does; the error of a malformed response: ERR_FDWIRE_BAD_CHECKSUM …; RangeError for a service
   * without a response; those of `send`.
   */
  async request(
    serviceId: number,
    dataId: number,
    data: unknown = null,
    options: WaitOptions = NO_OPTIONS,
  ): Promise<DataStorage> {
    checkIds(serviceId, dataId)
    const limits = checkWait('request', options)
    const responseSid = this.#session.services.responseTo(serviceId)
    if (responseSid === undefined) {
      throw new RangeError(`Service ${serviceId} has no response id: add the service by addService`)
    }
    const fields = { status: STATUS_OKAY, service_id: serviceId, data_id: dataId, data }
    const response = this.#session.outbound.request(fields, responseSid, limits)
    this.#session.inbound.update()
    return response
  }

  /**
   * Registers the function that answers requests for a data item: a typed `registerCallback`.
   *
   * `serve` may throw a {@link Refusal} to answer with another status.
   */
  serve<Request, Response>(datum: Datum<Request, Response>, serve: Serve<Request, Response>): this {
    const { requestSid, dataId, name } = datum
    this.addData(requestSid, dataId, name)
    return this.registerCallback(requestSid, dataId, toCallback(datum, serve))
  }

  /**
   * Requests a data item: a typed `request`. Resolves to the data of the response.
   *
   * # Errors
   * {@link StatusError} for a status other than STATUS_OKAY; TypeError for data of the wrong type;
   * those of `request`.
   */
  async call<Request, Response>(
    datum: Datum<Request, Response>,
    data: Request,
    options: WaitOptions = NO_OPTIONS,
  ): Promise<Response> {
    return responseData(datum, await this.request(datum.requestSid, datum.dataId, data, options))
  }

  /** Closes the protocol object and its transport. A second call returns the same promise. */
  close(): Promise<void> {
    return this.#session.close()
  }

  /** The same as `close()`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}

/** A protocol object whose bodies are a JSON object and a checksum. */
export class PureJsonProtocol extends Protocol {
  /**
   * Makes a protocol object, which owns the transport.
   *
   * # Errors
   * TypeError for a transport that lacks a method; TypeError, RangeError,
   * ERR_FDWIRE_ILL_FORMED_TEXT for invalid options.
   */
  constructor(transport: Transport, options: ProtocolOptions = NO_OPTIONS) {
    super('pure_json', transport, options)
  }
}

/** A protocol object whose bodies are twelve bytes of status and ids, JSON data and a checksum. */
export class StructJsonProtocol extends Protocol {
  /**
   * Makes a protocol object, which owns the transport.
   *
   * # Errors
   * TypeError for a transport that lacks a method; TypeError, RangeError,
   * ERR_FDWIRE_ILL_FORMED_TEXT for invalid options.
   */
  constructor(transport: Transport, options: ProtocolOptions = NO_OPTIONS) {
    super('struct_json', transport, options)
  }
}

function checkIds(serviceId: unknown, dataId: unknown): void {
  const id = checkId('The service id', serviceId)
  checkId('The data id', dataId)
  if (isReserved(id)) throw new RangeError(`Service ${id} is reserved for the protocol`)
}
