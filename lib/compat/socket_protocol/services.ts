import { checkId } from '../../options/socket_protocol.js'
import { describeValue } from '../../util/checks.js'
import * as c from './constants.js'
import type { DataStorage } from './data-storage.js'
import { RequestSidExistsError, ResponseSidExistsError } from './errors.js'

/** The services that every protocol object has: request id, response id, name. */
const SERVICES: readonly (readonly [number, number, string])[] = [
  [c.SID_AUTH_REQUEST, c.SID_AUTH_RESPONSE, 'authentification'],
  [c.SID_CHANNEL_NAME_REQUEST, c.SID_CHANNEL_NAME_RESPONSE, 'channel name'],
  [c.SID_READ_REQUEST, c.SID_READ_RESPONSE, 'read data'],
  [c.SID_WRITE_REQUEST, c.SID_WRITE_RESPONSE, 'write data'],
  [c.SID_EXECUTE_REQUEST, c.SID_EXECUTE_RESPONSE, 'execute'],
]

/** The names of the statuses, with the original's texts. */
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

/** Handles a message. For a request it returns the status and data of the answer. */
// biome-ignore lint/suspicious/noExplicitAny: the caller registers any extra arguments
export type Callback = (message: DataStorage, ...args: any[]) => unknown

/** A callback with the extra arguments that it was registered with. */
export interface Registered {
  callback: Callback
  args: readonly unknown[]
}

/** Returns a map key for a service id and data id; null means any. */
export function keyOf(serviceId: number | null, dataId: number | null): string {
  return `${serviceId ?? '*'}/${dataId ?? '*'}`
}

/**
 * Whether a service is reserved for the protocol: callbacks, `send` and `receive` cannot use it.
 */
export function isReserved(serviceId: number): boolean {
  return RESERVED.has(serviceId)
}

/** The services of a protocol object: their request and response ids, and names for logs. */
export class Services {
  /** The response id of each request id. */
  readonly #responses = new Map<number, number>()
  readonly #names = new Map<number, string>()
  readonly #dataNames = new Map<string, string>()
  /** Services whose data ids were declared with `addData`. */
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
   * RequestSidExistsError, ResponseSidExistsError; TypeError, RangeError for an invalid id.
   */
  add(request: number, response: number, requestName: string, responseName: string): void {
    checkId('The id of the request', request)
    checkId('The id of the response', response)
    if (this.#names.has(request)) throw new RequestSidExistsError(request)
    if (this.#names.has(response) || request === response) {
      throw new ResponseSidExistsError(response)
    }
    this.#responses.set(request, response)
    this.#names.set(request, requestName)
    this.#names.set(response, responseName)
  }

  /**
   * Declares and names a data id of one or several services. All other data ids of such a service
   * are unknown.
   *
   * # Errors
   * TypeError, RangeError for an invalid id.
   */
  addData(serviceIds: number | readonly number[], dataId: number, name: string): void {
    const ids = typeof serviceIds === 'number' ? [serviceIds] : [...serviceIds]
    for (const id of ids) checkId('The service id', id)
    checkId('The data id', dataId)
    for (const id of ids) {
      this.#declared.add(id)
      this.#dataNames.set(keyOf(id, dataId), name)
    }
  }

  /**
   * Names a status.
   *
   * # Errors
   * TypeError, RangeError for an invalid status.
   */
  addStatus(status: number, name: string): void {
    this.#statusNames.set(checkId('The status', status), name)
  }

  /** Returns the response id of a request id; undefined for every other id. */
  responseTo(serviceId: number): number | undefined {
    return this.#responses.get(serviceId)
  }

  /** Whether an id is the response id of a service. */
  isResponse(serviceId: number): boolean {
    return this.#names.has(serviceId) && !this.#responses.has(serviceId)
  }

  /** Whether a service has declared its data ids, and this is not one of them. */
  isUnknown(serviceId: number, dataId: number): boolean {
    return this.#declared.has(serviceId) && !this.#dataNames.has(keyOf(serviceId, dataId))
  }

  /** Describes a message for logs, without its data. */
  describe(serviceId: number, dataId: number, status: number): string {
    const service = this.#names.get(serviceId) ?? 'service'
    const data = this.#dataNames.get(keyOf(serviceId, dataId)) ?? 'data'
    const result = this.#statusNames.get(status) ?? 'status'
    return `${service} (${serviceId}), ${data} (${dataId}), ${result} (${status})`
  }
}

/** The callbacks of a protocol object. */
export class Callbacks {
  readonly #callbacks = new Map<string, Registered>()

  /**
   * Registers a callback. Returns whether it replaces another one.
   *
   * # Errors
   * TypeError for a callback that is not a function; TypeError, RangeError for an invalid id;
   * RangeError for a reserved service.
   */
  add(serviceId: number | null, dataId: number | null, registered: Registered): boolean {
    if (serviceId !== null) checkId('The service id', serviceId)
    if (dataId !== null) checkId('The data id', dataId)
    if (serviceId !== null && isReserved(serviceId)) {
      throw new RangeError(
        `Service ${serviceId} is reserved for the protocol: it takes no callback`,
      )
    }
    const { callback } = registered
    if (typeof callback !== 'function') {
      throw new TypeError(`The callback must be a function, not ${describeValue(callback)}`)
    }
    const key = keyOf(serviceId, dataId)
    const isReplaced = this.#callbacks.has(key)
    this.#callbacks.set(key, registered)
    return isReplaced
  }

  /** Finds the most specific callback for a message. */
  find(serviceId: number, dataId: number): Registered | undefined {
    return (
      this.#callbacks.get(keyOf(serviceId, dataId)) ??
      this.#callbacks.get(keyOf(serviceId, null)) ??
      this.#callbacks.get(keyOf(null, dataId)) ??
      this.#callbacks.get(keyOf(null, null))
    )
  }
}
