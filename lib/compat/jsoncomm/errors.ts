import { FdwireError, nameErrorClass } from '../../util/errors.js'

/**
 * The peer has sent a message that violates the service protocol (ERR_FDWIRE_BAD_BODY), or has
 * closed instead of sending one (ERR_FDWIRE_CLOSED).
 */
export class ProtocolError extends FdwireError {
  static {
    nameErrorClass(ProtocolError, 'ProtocolError')
  }

  constructor(
    message: string,
    { ended = false, cause }: { ended?: boolean; cause?: unknown } = {},
  ) {
    const code = ended ? 'ERR_FDWIRE_CLOSED' : 'ERR_FDWIRE_BAD_BODY'
    super(code, message, { fault: 'peer', ...(cause === undefined ? {} : { cause }) })
  }
}

/** A service has answered a call with an exception. `name` is the name of the exception there. */
export class RemoteError extends FdwireError {
  /** The text of the exception. */
  readonly value: string
  /** The stack trace of the exception, in the format of the service's language. */
  readonly backtrace: string

  constructor(name: string, value: string, backtrace: string) {
    super('ERR_FDWIRE_REMOTE', `${name}: ${value}\n ${backtrace}`)
    Object.defineProperty(this, 'name', { value: name, configurable: true, writable: true })
    this.value = value
    this.backtrace = backtrace
  }
}
