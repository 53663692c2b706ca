import { type ErrorCode, FdwireError, nameErrorClass } from '../../util/errors.js'
import { NO_OPTIONS } from '../../util/no-options.js'

/**
 * The error if the peer violates the service protocol (ERR_FDWIRE_BAD_BODY). Then the connection is
 * closed, and later calls fail with ERR_FDWIRE_CLOSED. Also the error if the peer closes instead of
 * sending a message (ERR_FDWIRE_PEER_CLOSED).
 */
export class ProtocolError extends FdwireError {
  static {
    nameErrorClass(ProtocolError, 'ProtocolError')
  }

  /** Makes an error with ERR_FDWIRE_BAD_BODY, or another code. */
  constructor(
    message: string,
    { code = 'ERR_FDWIRE_BAD_BODY', cause }: { code?: ErrorCode; cause?: unknown } = NO_OPTIONS,
  ) {
    super(code, message, { fault: 'peer', ...(cause === undefined ? {} : { cause }) })
  }
}

/** The error if a service answers a call with an exception. `name` is that of the exception. */
export class RemoteError extends FdwireError {
  /** The text of the exception. */
  readonly value: string
  /** The stack trace of the exception, in the format of the service's language. */
  readonly backtrace: string

  /** Makes the error of an exception in a service. */
  constructor(name: string, value: string, backtrace: string) {
    super('ERR_FDWIRE_REMOTE', `${name}: ${value}\n ${backtrace}`)
    Object.defineProperty(this, 'name', { value: name, configurable: true, writable: true })
    this.value = value
    this.backtrace = backtrace
  }
}
