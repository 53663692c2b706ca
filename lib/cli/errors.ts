import { NOT_A_SOCKET, tcpAddressIn } from '../options/peer-hints.js'
import { errorCode, failureOf, type SystemError } from '../util/errors.js'

/** Wrong arguments of the command line. */
export class UsageError extends Error {}

/** What to do about an error, by its code. */
const REMEDIES: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'no process listens there: start the receiver, or remove the stale socket',
  EPROTOTYPE: 'the socket there has another type: give --type stream, seqpacket or dgram',
  EADDRINUSE: 'another process uses this address: fdwire ls shows which',
  EEXIST: 'there is a file that is no socket: choose another address',
  EACCES: 'this user may not use the address: check the permissions of the path',
  EMSGSIZE: 'the message is larger than a datagram: use --type seqpacket or a stream protocol',
  EBADF: 'this descriptor is not open: let the shell open it, as in 3<file',
  EPIPE: 'the other process has closed the connection',
  ECONNRESET: 'the other process has closed the connection',
  EPERM: 'the socket there is connected to another process, or takes no descriptors',
}

/** Returns what to do about a path that does not exist. */
function missingRemedy(path: string | Buffer | undefined): string {
  const isTcp = typeof path === 'string' && tcpAddressIn(path) !== undefined
  const start = isTcp ? 'give tcp:HOST:PORT for TCP' : 'start the receiver first, or give --wait MS'
  return `there is no such file or socket: ${start}`
}

/** The codes whose remedy replaces what the error's own message explains. */
const EXPLAINED = new Set(['ECONNREFUSED', 'ENOENT', 'EPROTOTYPE', 'EADDRINUSE', 'EPERM'])

/** Returns what an error says and what to do about it, in one line. */
export function describeError(error: unknown): string {
  const { message } = error instanceof Error ? error : new Error(String(error))
  const code = errorCode(error) ?? ''
  const [line = ''] = message.split('\n')
  // The loader's errors have several lines, all of which matter.
  const text = code === 'ERR_FDWIRE_LOAD' ? message : line
  const { syscall, path } = error as Partial<SystemError>
  const remedy = code === 'ENOENT' ? missingRemedy(path) : REMEDIES[code]
  if (remedy === undefined) return text
  // Of an address to bind, the message names the directory that is missing.
  if (code === 'ENOENT' && syscall !== 'connect' && syscall !== 'sendmsg') return text
  // Such a file must not be removed, as a stale socket may.
  if (text.endsWith(NOT_A_SOCKET)) return text
  return `${EXPLAINED.has(code) ? failureOf(error as SystemError) : text}: ${remedy}`
}
