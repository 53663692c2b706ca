import { constants } from 'node:os'
import { getSystemErrorName } from 'node:util'

/** Whose doing an error is: the other process, the calling program, or the machine between them. */
export type Fault = 'peer' | 'caller' | 'system'

/**
 * Every code an {@link FdwireError} can carry: what it means, and whose fault it is unless the
 * error says otherwise.
 *
 * The list is closed: a new code is a new minor version. Kernel errors are not in it, they keep
 * Node's own shape and bare code (`ECONNREFUSED`).
 */
export const ERROR_CODES = {
  ERR_FDWIRE_CLOSED: {
    fault: 'caller',
    meaning: 'The channel, listener or codec is closed, or was while the call waited.',
  },
  ERR_FDWIRE_TIMEOUT: {
    fault: 'system',
    meaning: 'The time given by `timeout` was up before the operation was done.',
  },
  ERR_FDWIRE_HANDSHAKE: {
    fault: 'peer',
    meaning: 'The handshake of the protocol failed, or is not complete yet.',
  },
  ERR_FDWIRE_CONSUMER_CONFLICT: {
    fault: 'caller',
    meaning: 'Two iterators, or an iterator and a listener, want the same messages.',
  },
  ERR_FDWIRE_QUEUE_FULL: {
    fault: 'caller',
    meaning: 'The queue holds `maxQueued` bytes or `maxQueuedFds` descriptors: wait for `drain`.',
  },
  ERR_FDWIRE_NOT_QUIET: {
    fault: 'caller',
    meaning: 'A channel with unsent data, half a message or unread records cannot be detached.',
  },
  ERR_FDWIRE_UNENCODABLE: {
    fault: 'caller',
    meaning: 'The protocol cannot carry the value: a BigInt in JSON, a line with a delimiter.',
  },
  ERR_FDWIRE_ILL_FORMED_TEXT: {
    fault: 'caller',
    meaning: 'A text, address or path has a lone surrogate, which UTF-8 cannot carry.',
  },
  ERR_FDWIRE_BAD_ADDRESS: {
    fault: 'caller',
    meaning: 'The address is too long, of another family, or cannot be sent to.',
  },
  ERR_FDWIRE_EMPTY_MESSAGE: {
    fault: 'peer',
    meaning: 'The message has no bytes where the protocol needs some.',
  },
  ERR_FDWIRE_NOT_UTF8: {
    fault: 'peer',
    meaning: 'The text of the message is not UTF-8.',
  },
  ERR_FDWIRE_NOT_JSON: {
    fault: 'peer',
    meaning: 'The text of the message is not JSON.',
  },
  ERR_FDWIRE_NOT_BASE64: {
    fault: 'peer',
    meaning: 'The message is not base64 as the protocol encodes it.',
  },
  ERR_FDWIRE_FRAME_CUT_OFF: {
    fault: 'peer',
    meaning: 'The frame ends where the next one begins.',
  },
  ERR_FDWIRE_BAD_ESCAPE: {
    fault: 'peer',
    meaning: 'The frame has an escape that is none.',
  },
  ERR_FDWIRE_BAD_CHECKSUM: {
    fault: 'peer',
    meaning: 'The checksum of the message is wrong.',
  },
  ERR_FDWIRE_BAD_BODY: {
    fault: 'peer',
    meaning: 'The message lacks parts that the protocol asks for, or they are of the wrong kind.',
  },
  ERR_FDWIRE_STATUS: {
    fault: 'peer',
    meaning: 'The call was answered with another status than `STATUS_OKAY`.',
  },
  ERR_FDWIRE_REMOTE: {
    fault: 'peer',
    meaning: 'The service answered the call with an exception.',
  },
  ERR_FDWIRE_SID_EXISTS: {
    fault: 'caller',
    meaning: 'There is a service with that id already.',
  },
  ERR_FDWIRE_BAD_HEADER: {
    fault: 'peer',
    meaning: 'The header of a frame is none of the protocol: the stream cannot be understood.',
  },
  ERR_FDWIRE_CUT_SHORT: {
    fault: 'peer',
    meaning: 'The stream ended inside of a message, whose end is `missing` bytes away at least.',
  },
  ERR_FDWIRE_MESSAGE_TOO_LARGE: {
    fault: 'peer',
    meaning: 'The message has more bytes than `maxMessage`. Of a stream it is the end.',
  },
  ERR_FDWIRE_TOO_MANY_FDS: {
    fault: 'peer',
    meaning: 'The message has more descriptors than `maxFds` or than the kernel carries (253).',
  },
  ERR_FDWIRE_FDS_TRUNCATED: {
    fault: 'system',
    meaning: 'The kernel could not install all descriptors of the message (RLIMIT_NOFILE).',
  },
  ERR_FDWIRE_NO_MEMFD: {
    fault: 'peer',
    meaning: 'The message should be in a memfd, and its first descriptor is none, or was changed.',
  },
  ERR_FDWIRE_UNDELIVERED: {
    fault: 'peer',
    meaning: 'The message waited longer than `sendTimeout` for its destination to read.',
  },
  ERR_FDWIRE_FD_GONE: {
    fault: 'caller',
    meaning: 'There is no descriptor any more: it was taken, closed or handed over.',
  },
  ERR_FDWIRE_FD_KIND: {
    fault: 'caller',
    meaning: 'The descriptor is not of a kind that the call can use.',
  },
  ERR_FDWIRE_REMOTE_FILE: {
    fault: 'caller',
    meaning: 'The file lies on FUSE or a network, where a read can block: needs `trust: true`.',
  },
  ERR_FDWIRE_NOT_A_SOCKET: {
    fault: 'caller',
    meaning: 'The descriptor is no socket: a pipe or terminal goes through `over()`.',
  },
  ERR_FDWIRE_WRONG_SOCKET: {
    fault: 'caller',
    meaning: 'The socket is of another domain or type than asked for, or listening.',
  },
  ERR_FDWIRE_UNSUPPORTED_RUNTIME: {
    fault: 'system',
    meaning: 'This JavaScript runtime lacks what fdwire needs.',
  },
} as const satisfies Record<string, { fault: Fault; meaning: string }>

/** A code from the closed list {@link ERROR_CODES}. */
export type ErrorCode = keyof typeof ERROR_CODES

/** What an {@link FdwireError} can carry beside its code and message. */
export interface FdwireErrorOptions {
  /** The error underneath. */
  cause?: unknown
  /** Whose fault it is (what {@link ERROR_CODES} says of the code). */
  fault?: Fault
  /** The beginning of the offending message; the first 32 bytes of it are copied. */
  sample?: Uint8Array
  /** Bytes that were missing to the end of the message. */
  missing?: number
  /** Bytes that the kernel had not taken. */
  unsent?: number
  /** Messages of the batch that had gone out. */
  sent?: number
  /** The index of the offending value in the batch. */
  index?: number
}

/** Bytes of a message that {@link FdwireError.sample} holds at most. */
const MAX_SAMPLE = 32

/**
 * An error that fdwire itself raises.
 *
 * What the kernel says comes in Node's shape instead (`code: 'ECONNREFUSED'`, `errno`,
 * `syscall`); a wrong type or an unknown option is a TypeError.
 */
export class FdwireError extends Error {
  static {
    nameErrorClass(FdwireError, 'FdwireError')
  }

  /** What happened, from the closed list {@link ERROR_CODES}. */
  readonly code: ErrorCode
  /** Whose doing it is. */
  readonly fault: Fault
  /** The beginning of the message that could not be delivered (at most 32 bytes, a copy). */
  declare readonly sample?: Buffer
  /** Bytes that were missing to the end of the message. */
  declare readonly missing?: number
  /** Bytes that the kernel had not taken when the channel gave up. */
  declare readonly unsent?: number
  /** Messages of the batch that had gone out before the error. */
  declare readonly sent?: number
  /** The index of the value in the batch, or of the entry in the list, that was refused. */
  declare readonly index?: number

  constructor(code: ErrorCode, message: string, options: FdwireErrorOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.code = code
    this.fault = options.fault ?? ERROR_CODES[code].fault
    const { sample, missing, unsent, sent, index } = options
    if (sample !== undefined) this.sample = Buffer.from(sample.subarray(0, MAX_SAMPLE))
    if (missing !== undefined) this.missing = missing
    if (unsent !== undefined) this.unsent = unsent
    if (sent !== undefined) this.sent = sent
    if (index !== undefined) this.index = index
  }
}

/** Sets the `name` of an error class on its prototype, where Node's own errors have theirs. */
export function nameErrorClass(errorClass: { readonly prototype: Error }, name: string): void {
  const property = { value: name, configurable: true, writable: true }
  Object.defineProperty(errorClass.prototype, 'name', property)
}

/** The `code` of a value that was thrown; undefined if it has none. */
export function errorCode(error: unknown): string | undefined {
  return (error as { code?: string } | null | undefined)?.code
}

/** The codes of errors with which sending fails if the socket has no open peer. */
const DISCONNECTED: readonly unknown[] = [
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOTCONN',
  'EPIPE',
  'ERR_FDWIRE_CLOSED',
]

/** Whether sending failed because the socket has no open peer, or is closed. */
export function isDisconnected(error: unknown): boolean {
  return DISCONNECTED.includes(errorCode(error))
}

/** A kernel's error in the shape that Node gives its own. */
export interface SystemError extends Error {
  /** The kernel's name for it, as `'ECONNREFUSED'`. */
  code: string
  /** The negative number of it. */
  errno: number
  /** The system call that failed. */
  syscall: string
  /** The path it was about. */
  path?: string | Buffer
  /** The path or address it was going to. */
  dest?: string | Buffer
}

/**
 * The error for a failed system call, as `connect ECONNREFUSED /run/app.sock`.
 *
 * `errno` may have either sign, as the kernel's and libuv's do. `hint` is appended to the message.
 */
export function systemError(
  errno: number,
  syscall: string,
  extra: { path?: string | Buffer; dest?: string | Buffer; hint?: string; cause?: unknown } = {},
): SystemError {
  const number = -Math.abs(errno)
  const code = errorName(number)
  const { path, dest, hint } = extra
  let message = `${syscall} ${code}`
  if (path !== undefined) message += ` ${printable(path)}`
  if (dest !== undefined) message += ` -> ${printable(dest)}`
  if (hint !== undefined) message += `: ${hint}`
  const options = 'cause' in extra ? { cause: extra.cause } : undefined
  const error = new Error(message, options) as SystemError
  error.errno = number
  error.code = code
  error.syscall = syscall
  if (path !== undefined) error.path = path
  if (dest !== undefined) error.dest = dest
  return error
}

/** The error of an operation whose signal was aborted: an AbortError with the reason as cause. */
export function abortError(signal: AbortSignal): Error & { code: 'ABORT_ERR' } {
  const error = new Error('The operation was aborted', { cause: signal.reason })
  error.name = 'AbortError'
  return Object.assign(error, { code: 'ABORT_ERR' as const })
}

/** Names that neither libuv nor node:os knows; of these, sendmsg(2) gives this one. */
const UNKNOWN_TO_NODE: Readonly<Record<number, string>> = { [-109]: 'ETOOMANYREFS' }

function errorName(number: number): string {
  const name = getSystemErrorName(number)
  if (/^E[A-Z0-9]+$/.test(name)) return name
  const known = Object.entries(constants.errno).find(([, value]) => value === -number)
  return UNKNOWN_TO_NODE[number] ?? known?.[0] ?? name
}

/** An abstract name's zero bytes as the kernel's tools write them. */
function printable(name: string | Buffer): string {
  return name.toString().replaceAll('\0', '@')
}

/** The error of a call on a channel that is closed. */
export function closedError(call: string): FdwireError {
  return new FdwireError('ERR_FDWIRE_CLOSED', `${call}: the channel is closed`)
}

/** The error of a wait that took longer than it was allowed to (ms). */
export function timeoutError(what: string, timeout: number): FdwireError {
  return new FdwireError('ERR_FDWIRE_TIMEOUT', `${what} within ${timeout} ms`)
}

/** The error of consumers who want the same messages. */
export function conflict(why: string): FdwireError {
  return new FdwireError('ERR_FDWIRE_CONSUMER_CONFLICT', `Conflict of consumers: ${why}`)
}
