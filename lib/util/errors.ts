import { constants } from 'node:os'
import { getSystemErrorName, type InspectOptionsStylized, inspect } from 'node:util'
import { copyOf, viewOf } from './buffers.js'
import { ERROR_CODES, type ErrorCode, type Fault } from './error-codes.js'
import { NO_OPTIONS } from './no-options.js'

export type { ErrorCode } from './error-codes.js'

/** The details of an {@link FdwireError}. */
export interface FdwireErrorOptions {
  /** The error that caused this one. */
  cause?: unknown
  /** The party at fault (default: the one that {@link ERROR_CODES} lists for the code). */
  fault?: Fault
  /** The malformed message. The error copies its first 32 bytes. */
  sample?: Uint8Array
  /** The least number of bytes that the message lacks. */
  missing?: number
  /** The number of bytes that the kernel has not taken. */
  unsent?: number
  /** The number of messages of the batch that were sent. */
  sent?: number
  /** The index of the refused value in the batch, or of the refused descriptor in the list. */
  index?: number
}

/** The maximum length of {@link FdwireError.sample} (bytes). */
const MAX_SAMPLE = 32

/**
 * An error that fdwire itself reports.
 *
 * Kernel errors have the shape of Node's own instead (`code: 'ECONNREFUSED'`, `errno`, `syscall`).
 * A value of the wrong type or an unknown option causes a TypeError.
 */
export class FdwireError extends Error {
  static {
    nameErrorClass(FdwireError, 'FdwireError')
  }

  /** The kind of error, from the closed list {@link ERROR_CODES}. */
  readonly code: ErrorCode
  /** The party at fault. */
  readonly fault: Fault
  /** A copy of the first bytes of the malformed message (at most 32). */
  declare readonly sample?: Buffer
  /** The least number of bytes that the message lacks. */
  declare readonly missing?: number
  /** The number of bytes that the kernel had not taken when the channel was destroyed. */
  declare readonly unsent?: number
  /** The number of messages of the batch that were sent before the error. */
  declare readonly sent?: number
  /** The index of the refused value in the batch, or of the refused descriptor in the list. */
  declare readonly index?: number

  /** Makes an error. fdwire makes its errors itself; a test or a mock may make one. */
  constructor(code: ErrorCode, message: string, options: FdwireErrorOptions = NO_OPTIONS) {
    // Own properties only: what other code adds to Object.prototype is no option.
    const own: FdwireErrorOptions = Object.assign(Object.create(null), options)
    super(message, 'cause' in own ? { cause: own.cause } : undefined)
    this.code = code
    this.fault = own.fault ?? ERROR_CODES[code].fault
    const { sample, missing, unsent, sent, index } = own
    if (sample !== undefined) this.sample = copyOf(viewOf(sample, 0, MAX_SAMPLE))
    if (missing !== undefined) this.missing = missing
    if (unsent !== undefined) this.unsent = unsent
    if (sent !== undefined) this.sent = sent
    if (index !== undefined) this.index = index
  }

  /** Shows the code in the first line, and `sample` as text, in console.log. */
  [inspect.custom](depth: number, options: InspectOptionsStylized): string {
    const { name, code, message, cause, sample } = this
    if (depth < 0) return options.stylize(`[${name}: ${code}]`, 'special')
    const title = `${name} [${code}]: ${message}`
    const frames = /\n {4}at [\s\S]*$/.exec(this.stack ?? '')?.[0] ?? ''
    const shown = sample === undefined ? {} : { sample: sample.toString('latin1') }
    const fields = { ...this, ...shown, ...(cause !== undefined && { cause }) }
    return `${title}${frames} ${inspect(fields, options)}`
  }
}

/** Sets the `name` of an error class on its prototype, as Node's own error classes do. */
export function nameErrorClass(errorClass: { readonly prototype: Error }, name: string): void {
  const property = { value: name, configurable: true, writable: true }
  Object.defineProperty(errorClass.prototype, 'name', property)
}

/** Returns the `code` of a thrown value; undefined if it has none. */
export function errorCode(error: unknown): string | undefined {
  return (error as { code?: string } | null | undefined)?.code
}

/** Whether an error means that the channel is closed, by this program or by the peer's end. */
export function isClosed(error: unknown): boolean {
  const code = errorCode(error)
  return code === 'ERR_FDWIRE_CLOSED' || code === 'ERR_FDWIRE_PEER_CLOSED'
}

/** The codes with which sending fails if the socket has no open peer, or is closed itself. */
const DISCONNECTED: readonly unknown[] = [
  'ECONNREFUSED',
  'ECONNRESET',
  'ENOTCONN',
  'EPIPE',
  'ERR_FDWIRE_CLOSED',
  'ERR_FDWIRE_PEER_CLOSED',
]

/** Whether an error of sending means that the socket has no open peer, or is closed itself. */
export function isDisconnected(error: unknown): boolean {
  return DISCONNECTED.includes(errorCode(error))
}

/** A kernel error in the shape of Node's own. */
export interface SystemError extends Error {
  /** The name of the error number: `'ECONNREFUSED'`. */
  code: string
  /** The error number, negated. */
  errno: number
  /** The system call that failed. */
  syscall: string
  /** The path that was passed to the call. */
  path?: string | Buffer
  /** The path or address of the destination. */
  dest?: string | Buffer
  /** The index of the refused descriptor in the list. */
  index?: number
}

/** What is known of a failed system call, apart from its error number. */
interface SystemErrorDetails {
  path?: string | Buffer
  dest?: string | Buffer
  index?: number
  /** The end of the message. */
  hint?: string | undefined
  cause?: unknown
}

const NO_MEMORY = 'the kernel has no memory: try again later'

/** What the errors of a limit of the system mean, unless the caller knows more. */
const HINTS: Readonly<Record<string, string>> = {
  EMFILE: 'the process has no free descriptor (RLIMIT_NOFILE, ulimit -n)',
  ENFILE: 'the system has no free file (fs.file-max)',
  ETOOMANYREFS:
    'the processes of this user have too many descriptors in flight (RLIMIT_NOFILE): send again when some were received',
  ENOBUFS: NO_MEMORY,
  ENOMEM: NO_MEMORY,
}

/**
 * Returns the error of a failed system call: `connect ECONNREFUSED /run/app.sock`.
 *
 * `errno` may have either sign: the kernel uses positive numbers, libuv negative ones. `hint` is
 * appended to the message; errors of limits of the system have one of their own.
 */
export function systemError(
  errno: number,
  syscall: string,
  extra: SystemErrorDetails = NO_OPTIONS,
): SystemError {
  const number = -Math.abs(errno)
  const code = errorName(number)
  const { path, dest, index, hint = HINTS[code] } = extra
  let message = failureOf({ syscall, code, path, dest })
  if (hint !== undefined) message += `: ${hint}`
  const options = 'cause' in extra ? { cause: extra.cause } : undefined
  const error = new Error(message, options) as SystemError
  error.errno = number
  error.code = code
  error.syscall = syscall
  if (path !== undefined) error.path = path
  if (dest !== undefined) error.dest = dest
  if (index !== undefined) error.index = index
  return error
}

/** Describes a failed system call without what explains it. */
export function failureOf(error: {
  syscall: string
  code: string
  path?: string | Buffer | undefined
  dest?: string | Buffer | undefined
}): string {
  const { syscall, code, path, dest } = error
  const about = path === undefined ? '' : ` ${printableAddress(path)}`
  const to = dest === undefined ? '' : ` -> ${printableAddress(dest)}`
  return `${syscall} ${code}${about}${to}`
}

/** Returns the error of a text that UTF-8 cannot encode. `what` begins its message. */
export function illFormedError(what: string, text: string): FdwireError {
  // With the flag u, two surrogates that form a pair are one character, which does not match.
  const at = text.search(/\p{Surrogate}/u)
  const unit = text.charCodeAt(at).toString(16).toUpperCase()
  return new FdwireError(
    'ERR_FDWIRE_ILL_FORMED_TEXT',
    `${what} has a lone surrogate at ${at} (U+${unit}), which UTF-8 cannot encode: ` +
      'toWellFormed() replaces it',
  )
}

/** Returns the error of an aborted operation: an AbortError whose cause is the signal's reason. */
export function abortError(signal: AbortSignal): Error & { code: 'ABORT_ERR' } {
  const error = new Error('The operation was aborted', { cause: signal.reason })
  error.name = 'AbortError'
  return Object.assign(error, { code: 'ABORT_ERR' as const })
}

/** The errors of sendmsg(2) that have no name in libuv or node:os. */
const UNKNOWN_TO_NODE: Readonly<Record<number, string>> = { [-109]: 'ETOOMANYREFS' }

function errorName(number: number): string {
  const name = getSystemErrorName(number)
  if (/^E[A-Z0-9]+$/.test(name)) return name
  const known = Object.entries(constants.errno).find(([, value]) => value === -number)
  return UNKNOWN_TO_NODE[number] ?? known?.[0] ?? name
}

/** Formats an address for an error message: each zero byte becomes `@`, as in ss(8). */
export function printableAddress(address: string | Uint8Array): string {
  const text = typeof address === 'string' ? address : Buffer.from(address).toString()
  return text.replaceAll('\0', '@')
}

/** Who has closed a channel: this program, or the peer, whose end made the channel close itself. */
export type ClosedBy = 'caller' | 'peer'

/** Returns the error of a call on a closed channel. */
export function closedError(call: string, by: ClosedBy = 'caller'): FdwireError {
  if (by === 'caller') return new FdwireError('ERR_FDWIRE_CLOSED', `${call}: the channel is closed`)
  return new FdwireError('ERR_FDWIRE_PEER_CLOSED', `${call}: the peer has closed the connection`)
}

/**
 * Returns the error of an operation that exceeded `timeout` (ms). `failure` begins its message:
 * `No message arrived`.
 */
export function timeoutError(failure: string, timeout: number): FdwireError {
  return new FdwireError('ERR_FDWIRE_TIMEOUT', `${failure} within ${timeout} ms`)
}

/** Returns the error of a reply that has not arrived within `replyTimeout` (ms). */
export function replyLostError(timeout: number): FdwireError {
  return new FdwireError(
    'ERR_FDWIRE_REPLY_LOST',
    `The reply to an abandoned request did not arrive within ${timeout} ms (replyTimeout): ` +
      'later replies cannot be matched',
  )
}

/** Returns the error of two consumers that compete for the same messages or connections. */
export function conflictError(reason: string): FdwireError {
  return new FdwireError('ERR_FDWIRE_CONSUMER_CONFLICT', `Consumer conflict: ${reason}`)
}
