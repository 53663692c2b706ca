import { STATUS_OKAY } from '../../options/socket_protocol.js'
import { NO_OPTIONS } from '../../util/no-options.js'
import type { DataStorage } from './data-storage.js'
import { StatusError } from './errors.js'
import type { Protocol } from './protocol.js'

/** A data item of a service: its ids, and the types of the data of its requests and responses. */
export interface Datum<Request, Response> {
  /** The service id of requests. */
  readonly requestSid: number
  /** The service id of responses. */
  readonly responseSid: number
  /** The data id of both. */
  readonly dataId: number
  /** The name, for logs and errors. */
  readonly name: string
  /** Whether the data of a received request has the right type. */
  readonly isRequest: (data: unknown) => data is Request
  /** Whether the data of a received response has the right type. */
  readonly isResponse: (data: unknown) => data is Response
}

/** Checks of received data. */
export interface DatumChecks<Request, Response> {
  /** Returns whether data has the type of a request (default: always true). */
  isRequest?: ((data: unknown) => data is Request) | undefined
  /** Returns whether data has the type of a response (default: always true). */
  isResponse?: ((data: unknown) => data is Response) | undefined
}

/** The definition of a service, which both sides share. */
export class ServiceDefinition {
  /** The service id of requests. */
  readonly requestSid: number
  /** The service id of responses. */
  readonly responseSid: number
  /** The name, for logs and errors. */
  readonly name: string

  /** Defines a service. `defineService` does the same. */
  constructor(requestSid: number, responseSid: number, name: string) {
    this.requestSid = requestSid
    this.responseSid = responseSid
    this.name = name
  }

  /** Defines a data item of the service. `checks` are the only checks of received data. */
  datum<Request, Response>(
    dataId: number,
    name: string,
    checks: DatumChecks<Request, Response> = NO_OPTIONS,
  ): Datum<Request, Response> {
    const { requestSid, responseSid } = this
    const { isRequest = acceptAll, isResponse = acceptAll } = checks
    return { requestSid, responseSid, dataId, name, isRequest, isResponse }
  }

  /**
   * Adds the service to a protocol object.
   *
   * # Errors
   * Those of `Protocol.addService`.
   */
  addTo(protocol: Protocol): void {
    const { requestSid, responseSid, name } = this
    protocol.addService(requestSid, responseSid, `${name} request`, `${name} response`)
  }
}

/** Defines a service, so that both sides know the types of its data. */
export function defineService(
  requestSid: number,
  responseSid: number,
  name: string,
): ServiceDefinition {
  return new ServiceDefinition(requestSid, responseSid, name)
}

/** Throw it in a `serve` function to answer with a status other than STATUS_OKAY. */
export class Refusal extends Error {
  /** The status of the response. */
  readonly status: number
  /** The data of the response. */
  readonly data: unknown

  /** Makes a refusal with a status other than STATUS_OKAY, and data (null). */
  constructor(status: number, data: unknown = null) {
    super(`Answered with status ${status}`)
    this.status = status
    this.data = data
  }
}

/** Answers a request: returns the data of the response, or a promise of it. */
export type Serve<Request, Response> = (
  data: Request,
  message: DataStorage,
) => Response | Promise<Response>

/** Converts a `serve` function to a callback for `registerCallback`. */
export function toCallback<Request, Response>(
  datum: Datum<Request, Response>,
  serve: Serve<Request, Response>,
): (message: DataStorage) => Promise<[number, unknown]> {
  return async message => {
    const data = message.getData()
    if (!datum.isRequest(data)) throw new TypeError(`Invalid data in a request for ${datum.name}`)
    try {
      return [STATUS_OKAY, await serve(data, message)]
    } catch (error) {
      if (error instanceof Refusal) return [error.status, error.data]
      throw error
    }
  }
}

/**
 * Returns the data of the response to a typed call.
 *
 * # Errors
 * StatusError for a status other than STATUS_OKAY; TypeError for data of the wrong type.
 */
export function responseData<Request, Response>(
  datum: Datum<Request, Response>,
  response: DataStorage,
): Response {
  const status = response.getStatus(STATUS_OKAY)
  if (status !== STATUS_OKAY) {
    throw new StatusError(`${datum.name} was answered with status ${status}`, status, response)
  }
  const data = response.getData()
  if (datum.isResponse(data)) return data
  throw new TypeError(`Invalid data in the response to ${datum.name}`)
}

function acceptAll<T>(_data: unknown): _data is T {
  return true
}
