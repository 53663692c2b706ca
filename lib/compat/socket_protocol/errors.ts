import { FdwireError } from '../../util/errors.js'
import type { DataStorage } from './data-storage.js'

/** `addService`: the request id belongs to a service already. */
export class RequestSidExistsError extends FdwireError {
  constructor(serviceId: number) {
    super('ERR_FDWIRE_SID_EXISTS', `A service with the request id ${serviceId} already exists`)
  }
}

/** `addService`: the response id belongs to a service already. */
export class ResponseSidExistsError extends FdwireError {
  constructor(serviceId: number) {
    super('ERR_FDWIRE_SID_EXISTS', `A service with the response id ${serviceId} already exists`)
  }
}

/** A typed call was answered with a status other than STATUS_OKAY. */
export class StatusError extends FdwireError {
  readonly status: number
  /** The complete response. */
  readonly response: DataStorage

  constructor(message: string, status: number, response: DataStorage) {
    super('ERR_FDWIRE_STATUS', message)
    this.status = status
    this.response = response
  }
}
