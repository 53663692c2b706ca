import { FdwireError } from '../../util/errors.js'
import type { DataStorage } from './data-storage.js'

/** `addService`: there is a service with that request id already. */
export class RequestSidExistsError extends FdwireError {
  constructor(serviceId: number) {
    super('ERR_FDWIRE_SID_EXISTS', `There is a service with the request id ${serviceId} already`)
  }
}

/** `addService`: there is a service with that response id already. */
export class ResponseSidExistsError extends FdwireError {
  constructor(serviceId: number) {
    super('ERR_FDWIRE_SID_EXISTS', `There is a service with the response id ${serviceId} already`)
  }
}

/** A typed call was answered with another status than STATUS_OKAY. */
export class StatusError extends FdwireError {
  /** The status. */
  readonly status: number
  /** The whole response. */
  readonly response: DataStorage

  constructor(message: string, status: number, response: DataStorage) {
    super('ERR_FDWIRE_STATUS', message)
    this.status = status
    this.response = response
  }
}
