import { FdwireError } from '../../util/errors.js'
import { ProtocolError } from './errors.js'

// The messages between a service and its client. Each is one jsoncomm message.
//
// client ─► service   {"type": "method",    "data": {"name": "echo", "args": ["an", "argument"]}}
// service ─► client   {"type": "signal",    "data": {"reply": …}}                 any number, then
// service ─► client   {"type": "reply",     "data": {"reply": …}}                 one of these two
// service ─► client   {"type": "exception", "data": {"name": …, "value": …, "backtrace": …}}
//
// The texts of ProtocolErrors about empty messages and missing fields are the original's.

// biome-ignore lint/suspicious/noExplicitAny: the type of JSON.parse
type Json = any

/** The data of an exception. */
export interface ExceptionData {
  /** The name of its class. */
  name: string
  /** Its message. */
  value: string
  /** Its stack trace. */
  backtrace: string
}

/** The total length above which the texts of an exception are shortened (characters). */
const MAX_EXCEPTION = 65_536

/** The length to which each of them is shortened (characters). */
const MAX_SHORTENED = 2_000

/**
 * Encodes a method call.
 *
 * # Errors
 * ERR_FDWIRE_UNENCODABLE.
 */
export function encodeMethod(name: string, args: unknown): object {
  checkEncodable('args', args)
  return { type: 'method', data: { name, args } }
}

/**
 * Encodes a signal, or the reply to a call.
 *
 * # Errors
 * ERR_FDWIRE_UNENCODABLE.
 */
export function encodeReply(type: 'signal' | 'reply', reply: unknown = null): object {
  checkEncodable(`a ${type}`, reply)
  return { type, data: { reply } }
}

/** Encodes a thrown value. Shortens its texts if they are long, or if `shorten` is set. */
export function encodeException(error: unknown, shorten = false): object {
  const data = exceptionOf(error)
  if (shorten || data.name.length + data.value.length + data.backtrace.length > MAX_EXCEPTION) {
    data.name = data.name.slice(0, MAX_SHORTENED)
    data.value = data.value.slice(0, MAX_SHORTENED)
    data.backtrace = data.backtrace.slice(0, MAX_SHORTENED)
  }
  return { type: 'exception', data }
}

/**
 * Decodes the type and the data of a message.
 *
 * # Errors
 * ProtocolError.
 */
export function decodeMessage(message: Json): { type: unknown; data: Json } {
  if (isFalsy(message)) throw new ProtocolError('message empty')
  if (typeof message !== 'object' || Array.isArray(message)) {
    throw new ProtocolError('message is not an object')
  }
  const { type, data } = message
  if (isFalsy(type)) throw new ProtocolError("'type' field missing")
  if (isFalsy(data)) throw new ProtocolError("'data' field missing")
  return { type, data }
}

/**
 * Decodes the data of a method call. Missing `args` are [].
 *
 * # Errors
 * ProtocolError.
 */
export function decodeMethod(data: Json): { name: string; args: Json } {
  const { name, args = [] } = data
  if (isFalsy(name)) throw new ProtocolError("'name' field missing")
  if (typeof name !== 'string') throw new ProtocolError("'name' field is not a string")
  return { name, args }
}

/**
 * Decodes the data of a signal or reply.
 *
 * # Errors
 * ProtocolError.
 */
export function decodeReply(data: Json): Json {
  if (data === null || typeof data !== 'object' || !Object.hasOwn(data, 'reply')) {
    throw new ProtocolError("'reply' field missing")
  }
  return data.reply
}

/**
 * Decodes the data of an exception.
 *
 * # Errors
 * ProtocolError.
 */
export function decodeException(data: Json): ExceptionData {
  for (const field of ['name', 'value', 'backtrace']) {
    if (typeof data?.[field] === 'string') continue
    throw new ProtocolError(`'${field}' field missing`)
  }
  return data
}

/** Whether Python treats a value as false. A service ends when it receives such a message. */
export function isFalsy(value: Json): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length === 0
  return !value
}

function exceptionOf(error: unknown): ExceptionData {
  try {
    if (!(error instanceof Error)) return { name: 'Error', value: String(error), backtrace: '' }
    const { message, stack } = error
    // A subclass that sets no name inherits `Error`.
    const name = error.name === 'Error' ? error.constructor.name : error.name
    return { name: String(name), value: String(message), backtrace: framesOf(String(stack ?? '')) }
  } catch {
    // One of its properties is a getter that throws, or it cannot be converted to a string.
    return { name: 'Error', value: 'An exception that cannot be read', backtrace: '' }
  }
}

/** Returns a stack without its first lines, which repeat the name and the message. */
function framesOf(stack: string): string {
  const first = stack.search(/^ +at /m)
  return first < 0 ? '' : stack.slice(first)
}

/** Throws for a value that JSON.stringify omits: the receiver would report a missing field. */
function checkEncodable(what: string, value: Json): void {
  const encoded = typeof value?.toJSON === 'function' ? value.toJSON('') : value
  const type = typeof encoded
  if (type !== 'undefined' && type !== 'function' && type !== 'symbol') return
  throw new FdwireError('ERR_FDWIRE_UNENCODABLE', `JSON cannot represent ${what} of type ${type}`)
}
