import { STATUS_OKAY } from '../../options/socket_protocol.js'
import type { DataStorage } from './data-storage.js'
import { StatusError } from './errors.js'
import type { Protocol } from './protocol.js'

/** A datum of a service, with the types of what goes there and of what comes back. */
export interface Datum<Request, Response> {
  /** The id of the request. */
  readonly requestSid: number
  /** The id of the response. */
  readonly responseSid: number
  readonly dataId: number
  readonly name: string
  /** Whether what a peer asked with is what it should be. */
  readonly isRequest: (data: unknown) => data is Request
  /** Whether what a peer answered is what it should be. */
  readonly isResponse: (data: unknown) => data is Response
}

/** Who checks what comes from a peer. */
export interface DatumChecks<Request, Response> {
  /** Whether data is a request (anything is). */
  isRequest?: ((data: unknown) => data is Request) | undefined
  /** Whether data is a response (anything is). */
  isResponse?: ((data: unknown) => data is Response) | undefined
}

/** A service, as both ends know it. */
export class ServiceDefinition {
  readonly requestSid: number
  readonly responseSid: number
  readonly name: string

  constructor(requestSid: number, responseSid: number, name: string) {
    this.requestSid = requestSid
    this.responseSid = responseSid
    this.name = name
  }

  /** A datum of the service. What a peer sends is checked only where a check is given. */
  datum<Request, Response>(
    dataId: number,
    name: string,
    checks: DatumChecks<Request, Response> = {},
  ): Datum<Request, Response> {
    const { requestSid, responseSid } = this
    const { isRequest = anything, isResponse = anything } = checks
    return { requestSid, responseSid, dataId, name, isRequest, isResponse }
  }

  /** Adds the service to a protocol object, which has not had it. */
  addTo(protocol: Protocol): void {
    const { requestSid, responseSid, name } = this
    protocol.addService(requestSid, responseSid, `${name} request`, `${name} response`)
  }
}

/** Describes a service, so that its data has a type on both ends. */
export function defineService(
  requestSid: number,
  responseSid: number,
  name: string,
): ServiceDefinition {
  return new ServiceDefinition(requestSid, responseSid, name)
}

/** Answers a request with another status than STATUS_OKAY: to be thrown by who serves a datum. */
export class Refusal extends Error {
  readonly status: number
  readonly data: unknown

  constructor(status: number, data: unknown = null) {
    super(`Answered with status ${status}`)
    this.status = status
    this.data = data
  }
}

/** What a served datum is: the response to a request. */
export type Serve<Request, Response> = (
  data: Request,
  message: DataStorage,
) => Response | Promise<Response>

/** The callback that serves a datum. */
export function serving<Request, Response>(
  datum: Datum<Request, Response>,
  serve: Serve<Request, Response>,
): (message: DataStorage) => Promise<[number, unknown]> {
  return async message => {
    const data = message.getData()
    if (!datum.isRequest(data)) throw new TypeError(`The data is no request for ${datum.name}`)
    try {
      return [STATUS_OKAY, await serve(data, message)]
    } catch (error) {
      if (error instanceof Refusal) return [error.status, error.data]
      throw error
    }
  }
}

/** What a response to a typed call says. */
export function answered<Request, Response>(
  datum: Datum<Request, Response>,
  response: DataStorage,
): Response {
  const status = response.getStatus(STATUS_OKAY)
  if (status !== STATUS_OKAY) {
    throw new StatusError(`${datum.name} was answered with status ${status}`, status, response)
  }
  const data = response.getData()
  if (datum.isResponse(data)) return data
  throw new TypeError(`What was answered is no response for ${datum.name}`)
}

function anything<T>(_data: unknown): _data is T {
  return true
}
