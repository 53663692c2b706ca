import { FdwireError } from '../../util/errors.js'
import type { DataStorage } from './data-storage.js'

/** The error of `addService` if another service has the request id. */
export class RequestSidExistsError extends FdwireError {
  /** Makes the error for an id. */
  constructor(serviceId: number) {
    super('ERR_FDWIRE_SID_EXISTS', `A service with the request id ${serviceId} already exists`)
  }
}

/** The error of `addService` if another service has the response id, or if it is the request id. */
export class ResponseSidExistsError extends FdwireError {
  /** Makes the error for an id. */
  constructor(serviceId: number) {
    super('ERR_FDWIRE_SID_EXISTS', `A service with the response id ${serviceId} already exists`)
  }
}

/** The error of a typed call that was answered with a status other than STATUS_OKAY. */
export class StatusError extends FdwireError {
  /** The status of the response. */
  readonly status: number
  /** The complete response. */
  readonly response: DataStorage

  /** Makes the error of a response. */
  constructor(message: string, status: number, response: DataStorage) {
    super('ERR_FDWIRE_STATUS', message)
    this.status = status
    this.response = response
  }
}
