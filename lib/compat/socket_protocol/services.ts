import { checkId } from '../../options/socket_protocol.js'
import * as c from './constants.js'
import type { DataStorage } from './data-storage.js'
import { RequestSidExistsError, ResponseSidExistsError } from './errors.js'

/** The services that every protocol object has: request, response, and what they are called. */
const SERVICES: readonly (readonly [number, number, string])[] = [
  [c.SID_AUTH_REQUEST, c.SID_AUTH_RESPONSE, 'authentification'],
  [c.SID_CHANNEL_NAME_REQUEST, c.SID_CHANNEL_NAME_RESPONSE, 'channel name'],
  [c.SID_READ_REQUEST, c.SID_READ_RESPONSE, 'read data'],
  [c.SID_WRITE_REQUEST, c.SID_WRITE_RESPONSE, 'write data'],
  [c.SID_EXECUTE_REQUEST, c.SID_EXECUTE_RESPONSE, 'execute'],
]

/** What each status is called. */
const STATUS_NAMES: readonly (readonly [number, string])[] = [
  [c.STATUS_OKAY, 'okay'],
  [c.STATUS_BUFFERING_UNHANDLED_REQUEST, 'request has no callback, data buffered'],
  [c.STATUS_CALLBACK_ERROR, 'callback error'],
  [c.STATUS_AUTH_REQUIRED, 'authentification required'],
  [c.STATUS_SERVICE_OR_DATA_UNKNOWN, 'service or data unknown'],
  [c.STATUS_CHECKSUM_ERROR, 'checksum error'],
  [c.STATUS_OPERATION_NOT_PERMITTED, 'operation not permitted'],
]

const RESERVED = new Set<number>([
  c.SID_AUTH_REQUEST,
  c.SID_AUTH_RESPONSE,
  c.SID_CHANNEL_NAME_REQUEST,
  c.SID_CHANNEL_NAME_RESPONSE,
])

/** What is called for a message, and what it gives: for a request, the status and data to answer. */
// biome-ignore lint/suspicious/noExplicitAny: the extra arguments are whatever was registered
export type Callback = (message: DataStorage, ...args: any[]) => unknown

/** A callback with the arguments it was registered with. */
export interface Registered {
  callback: Callback
  args: readonly unknown[]
}

/** A key for a service and a datum of it; null: any. */
export function keyOf(serviceId: number | null, dataId: number | null): string {
  return `${serviceId ?? '*'}/${dataId ?? '*'}`
}

/** Whether a service is the protocol's own business: no callback, buffer or request can have it. */
export function isReserved(serviceId: number): boolean {
  return RESERVED.has(serviceId)
}

/** The services of a protocol object: which request has which response, and what all are called. */
export class Services {
  /** The response of each request. */
  readonly #responses = new Map<number, number>()
  readonly #names = new Map<number, string>()
  readonly #dataNames = new Map<string, string>()
  /** Services that have said which data they have. */
  readonly #declared = new Set<number>()
  readonly #statusNames = new Map(STATUS_NAMES)

  constructor() {
    for (const [request, response, name] of SERVICES) {
      this.add(request, response, `${name} request`, `${name} response`)
    }
  }

  /**
   * Adds a service.
   *
   * # Errors
   * {@link RequestSidExistsError}, {@link ResponseSidExistsError}.
   */
  add(request: number, response: number, requestName: string, responseName: string): void {
    checkId('The id of the request', request)
    checkId('The id of the response', response)
    if (this.#isKnown(request)) throw new RequestSidExistsError(request)
    if (this.#isKnown(response) || request === response) throw new ResponseSidExistsError(response)
    this.#responses.set(request, response)
    this.#names.set(request, requestName)
    this.#names.set(response, responseName)
  }

  /** Names a datum of a service, or of several; from then on a service knows which data it has. */
  addData(serviceIds: number | readonly number[], dataId: number, name: string): void {
    const ids = typeof serviceIds === 'number' ? [serviceIds] : [...serviceIds]
    for (const id of ids) checkId('The service id', id)
    checkId('The data id', dataId)
    for (const id of ids) {
      this.#declared.add(id)
      this.#dataNames.set(keyOf(id, dataId), name)
    }
  }

  /** Names a status. */
  addStatus(status: number, name: string): void {
    this.#statusNames.set(checkId('The status', status), name)
  }

  /** The response of a request; undefined where it is no request of a service. */
  responseTo(serviceId: number): number | undefined {
    return this.#responses.get(serviceId)
  }

  /** Whether it is the response of a service. */
  isResponse(serviceId: number): boolean {
    return this.#names.has(serviceId) && !this.#responses.has(serviceId)
  }

  /** Whether a service has said which data it has, and this isn't among it. */
  isUnknown(serviceId: number, dataId: number): boolean {
    return this.#declared.has(serviceId) && !this.#dataNames.has(keyOf(serviceId, dataId))
  }

  /** A message for a log: never its data. */
  describe(serviceId: number, dataId: number, status: number): string {
    const service = this.#names.get(serviceId) ?? 'service'
    const datum = this.#dataNames.get(keyOf(serviceId, dataId)) ?? 'data'
    const result = this.#statusNames.get(status) ?? 'status'
    return `${service} (${serviceId}), ${datum} (${dataId}), ${result} (${status})`
  }

  #isKnown(serviceId: number): boolean {
    return this.#names.has(serviceId)
  }
}

/** Who is called for what. */
export class Callbacks {
  readonly #callbacks = new Map<string, Registered>()

  /**
   * Registers a callback; whether another one was there.
   *
   * # Errors
   * A TypeError for what is no function, a RangeError for the protocol's own services.
   */
  add(serviceId: number | null, dataId: number | null, registered: Registered): boolean {
    if (serviceId !== null) checkId('The service id', serviceId)
    if (dataId !== null) checkId('The data id', dataId)
    if (serviceId !== null && isReserved(serviceId)) {
      throw new RangeError(`Service ${serviceId} is the protocol's own: it has no other callback`)
    }
    if (typeof registered.callback !== 'function') {
      throw new TypeError(`The callback must be a function, not ${typeof registered.callback}`)
    }
    const key = keyOf(serviceId, dataId)
    const isNew = !this.#callbacks.has(key)
    this.#callbacks.set(key, registered)
    return !isNew
  }

  /** The callback for a message: the most specific one. */
  find(serviceId: number, dataId: number): Registered | undefined {
    return (
      this.#callbacks.get(keyOf(serviceId, dataId)) ??
      this.#callbacks.get(keyOf(serviceId, null)) ??
      this.#callbacks.get(keyOf(null, dataId)) ??
      this.#callbacks.get(keyOf(null, null))
    )
  }
}
