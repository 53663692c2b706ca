import { FdwireError } from '../../util/errors.js'
import { ProtocolError } from './errors.js'

// What goes over the wire between a service and its client; each is one message of jsoncomm.
//
//   client ─► service   {"type": "method",    "data": {"name": "echo", "args": ["an", "argument"]}}
//   service ─► client   {"type": "signal",    "data": {"reply": …}}                 any number
//   service ─► client   {"type": "reply",     "data": {"reply": …}}                 or else
//   service ─► client   {"type": "exception", "data": {"name": …, "value": …, "backtrace": …}}

// biome-ignore lint/suspicious/noExplicitAny: what JSON.parse gives
type Json = any

/** What an exception carries. */
export interface ExceptionData {
  name: string
  value: string
  backtrace: string
}

/** Characters of an exception's text and backtrace each, where the whole was too large to be sent. */
const MAX_TOLD = 2_000

/** Characters of an exception that are told in any case. */
const LONG = 65_536

/** The request to call a method. */
export function encodeMethod(name: string, args: unknown): object {
  checkCarried('args', args)
  return { type: 'method', data: { name, args } }
}

/** A signal, or the reply to a call. */
export function encodeReply(type: 'signal' | 'reply', reply: unknown = null): object {
  checkCarried(`a ${type}`, reply)
  return { type, data: { reply } }
}

/** What somebody has thrown; `brief`, or where it is long: as much of it as surely fits a record. */
export function encodeException(error: unknown, brief = false): object {
  const data = exceptionOf(error)
  if (brief || data.name.length + data.value.length + data.backtrace.length > LONG) {
    data.name = data.name.slice(0, MAX_TOLD)
    data.value = data.value.slice(0, MAX_TOLD)
    data.backtrace = data.backtrace.slice(0, MAX_TOLD)
  }
  return { type: 'exception', data }
}

/** The type and the data of a message. */
export function decodeMessage(message: Json): { type: unknown; data: Json } {
  if (isFalsy(message)) throw new ProtocolError('message empty')
  if (typeof message !== 'object' || Array.isArray(message)) {
    throw new ProtocolError('message is no object')
  }
  const { type, data } = message
  if (isFalsy(type)) throw new ProtocolError("'type' field missing")
  if (isFalsy(data)) throw new ProtocolError("'data' field missing")
  return { type, data }
}

/** What is to be called: `args` is [] where there is none. */
export function decodeMethod(data: Json): { name: string; args: Json } {
  const { name, args = [] } = data
  if (isFalsy(name)) throw new ProtocolError("'name' field missing")
  if (typeof name !== 'string') throw new ProtocolError("'name' field is no string")
  return { name, args }
}

/** What a signal or reply carries. */
export function decodeReply(data: Json): Json {
  if (data === null || typeof data !== 'object' || !Object.hasOwn(data, 'reply')) {
    throw new ProtocolError("'reply' field missing")
  }
  return data.reply
}

/** What an exception carries, all of it. */
export function decodeException(data: Json): ExceptionData {
  for (const field of ['name', 'value', 'backtrace']) {
    if (typeof data?.[field] === 'string') continue
    throw new ProtocolError(`'${field}' field missing`)
  }
  return data
}

/** What is false in Python: it ends a service without a word. */
export function isFalsy(value: Json): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length === 0
  return !value
}

function exceptionOf(error: unknown): ExceptionData {
  try {
    if (!(error instanceof Error)) return { name: 'Error', value: String(error), backtrace: '' }
    const { message, stack } = error
    // A class of one's own that sets no name has the name of its parent.
    const name = error.name === 'Error' ? error.constructor.name : error.name
    return { name: String(name), value: String(message), backtrace: linesOf(String(stack ?? '')) }
  } catch {
    // It has members that throw themselves.
    return { name: 'Error', value: 'An exception that can not be told', backtrace: '' }
  }
}

/** A stack without its headline, which is name and text again. */
function linesOf(stack: string): string {
  const first = stack.search(/^ +at /m)
  return first < 0 ? '' : stack.slice(first)
}

/** A field whose value JSON leaves out would be missing. */
function checkCarried(what: string, value: Json): void {
  const carried = typeof value?.toJSON === 'function' ? value.toJSON('') : value
  if (!['undefined', 'function', 'symbol'].includes(typeof carried)) return
  throw new FdwireError('ERR_FDWIRE_UNENCODABLE', `JSON can't carry ${what}: ${typeof carried}`)
}
