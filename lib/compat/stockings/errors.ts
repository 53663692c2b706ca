import { FdwireError, nameErrorClass } from '../../util/errors.js'

/**
 * The error of `read()` after the peer has closed the connection and every message was read.
 *
 * `cause` is set if the connection ended with an error.
 */
export class EOFError extends FdwireError {
  static {
    nameErrorClass(EOFError, 'EOFError')
  }

  /** Makes the error. */
  constructor(cause?: Error) {
    const message = 'The peer has closed the connection, and every message was read'
    super('ERR_FDWIRE_PEER_CLOSED', message, cause === undefined ? {} : { cause })
  }
}

/**
 * The error of `read()` and `write()` while the handshake is not complete. `cause` is set if it has
 * failed.
 */
export class NotReady extends FdwireError {
  static {
    nameErrorClass(NotReady, 'NotReady')
  }

  /** Makes the error of a call; `failure` if the handshake has failed. */
  constructor(call: string, failure?: { reason: unknown }) {
    const state = failure === undefined ? 'is not complete: await ready first' : 'has failed'
    super('ERR_FDWIRE_HANDSHAKE', `${call}: the handshake ${state}`, {
      fault: 'caller',
      ...(failure === undefined ? {} : { cause: failure.reason }),
    })
  }
}
