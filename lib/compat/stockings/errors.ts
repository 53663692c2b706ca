import { FdwireError } from '../../util/errors.js'

/** `read()`: the peer has closed, and all it sent was read; `cause` is there where that was an error. */
export class EOFError extends FdwireError {
  static {
    nameIt(EOFError, 'EOFError')
  }

  constructor(cause?: Error) {
    const how = cause === undefined ? { fault: 'peer' as const } : { fault: 'peer' as const, cause }
    super('ERR_FDWIRE_CLOSED', 'The peer has closed the connection, and all was read', how)
  }
}

/** `read()`, `write()`: the handshake is not complete; `cause` is there where it has failed. */
export class NotReady extends FdwireError {
  static {
    nameIt(NotReady, 'NotReady')
  }

  constructor(call: string, failure?: { reason: unknown }) {
    const state = failure === undefined ? 'is not complete' : 'has failed'
    const cause = failure === undefined ? {} : { cause: failure.reason }
    const message = `${call}: the handshake ${state}`
    super('ERR_FDWIRE_HANDSHAKE', message, { fault: 'caller', ...cause })
  }
}

/** On the prototype, as the names of Node's own errors are. */
function nameIt(what: typeof EOFError | typeof NotReady, name: string): void {
  Object.defineProperty(what.prototype, 'name', { value: name, configurable: true, writable: true })
}
