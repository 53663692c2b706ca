import { FdwireError } from '../../util/errors.js'

/** A message is none of the service protocol, or the service has ended instead of sending one. */
export class ProtocolError extends FdwireError {
  static {
    Object.defineProperty(ProtocolError.prototype, 'name', {
      value: 'ProtocolError',
      configurable: true,
      writable: true,
    })
  }

  constructor(
    message: string,
    { ended = false, cause }: { ended?: boolean; cause?: unknown } = {},
  ) {
    const code = ended ? 'ERR_FDWIRE_CLOSED' : 'ERR_FDWIRE_BAD_BODY'
    super(code, message, { fault: 'peer', ...(cause === undefined ? {} : { cause }) })
  }
}

/** A service has answered a call with an exception. Its `name` is that of the exception. */
export class RemoteError extends FdwireError {
  /** The text of the exception. */
  readonly value: string
  /** Where it came from, in the words of the service's language. */
  readonly backtrace: string

  constructor(name: string, value: string, backtrace: string) {
    super('ERR_FDWIRE_REMOTE', `${name}: ${value}\n ${backtrace}`)
    Object.defineProperty(this, 'name', { value: name, configurable: true, writable: true })
    this.value = value
    this.backtrace = backtrace
  }
}
