/** Decides which options a call has, and explains what to use instead of the others. */

import { checkNames, listAnd, listOr, quote } from '../util/checks.js'
import {
  CONNECTIONS,
  DGRAM,
  type Opener,
  type OptionContext,
  type OptionSpec,
  STREAM,
} from './option.js'
import { PROTOCOL_NAMES, rowOf, type SocketType } from './protocols.js'
import { isOption, OPTION_NAMES, OPTIONS, type OptionName } from './table.js'

/** The socket types that each function creates or accepts. */
const TYPES: Readonly<Record<Opener, readonly SocketType[]>> = {
  bind: DGRAM,
  connect: ['stream', 'seqpacket', 'dgram'],
  listen: CONNECTIONS,
  pair: ['stream', 'seqpacket', 'dgram'],
  adopt: ['stream', 'seqpacket', 'dgram'],
  over: STREAM,
  Codec: STREAM,
}

const SOCKET_NAMES: Readonly<Record<SocketType, string>> = {
  stream: 'a stream socket',
  seqpacket: 'a seqpacket socket',
  dgram: 'a datagram socket',
}

/**
 * Checks that the function supports the socket type.
 *
 * # Errors
 * TypeError, which names a function or type to use instead.
 */
export function checkSocketType(context: OptionContext): void {
  const { opener, protocol, type, target } = context
  const supported = TYPES[opener].filter(one => target !== 'tcp' || one === 'stream')
  if (supported.includes(type)) return
  const others = rowOf(protocol).types.filter(one => supported.includes(one))
  const otherType = others.length === 0 ? '' : `, or type: ${listOr(others.map(quote))}`
  throw new TypeError(`${opener} ${whyNotType(context)}${otherType}`)
}

/**
 * Checks that the call has all given options.
 *
 * # Errors
 * TypeError, which says where the option exists.
 */
export function checkOptionNames(given: object, context: OptionContext): void {
  checkNames(context.opener, given, name =>
    isOption(name) ? whyNot(name, context) : `it has ${listAnd(optionsOf(context))}`,
  )
}

/** Returns the names of the options that a call has. */
export function optionsOf(context: OptionContext): OptionName[] {
  return OPTION_NAMES.filter(name => whyNot(name, context) === undefined)
}

/** Explains why the function does not support the socket type, and what to use instead. */
function whyNotType({ opener, protocol, type, target }: OptionContext): string {
  const socket = `${protocol} uses ${SOCKET_NAMES[type]}`
  if (target === 'tcp' && type !== 'stream') {
    return `takes { host, port } for streams, and ${socket}: use a path or an abstract name`
  }
  if (opener === 'bind') return `needs a datagram socket, and ${socket}: use listen or connect`
  if (opener === 'listen') return `needs connections, and ${socket}: use bind`
  const usable = PROTOCOL_NAMES.filter(name => rowOf(name).types.includes('stream'))
  return `needs a stream, and ${socket}: use protocol ${listOr(usable.map(quote))}`
}

/** Explains why a call does not have an option. Returns undefined if the call has it. */
function whyNot(name: OptionName, context: OptionContext): string | undefined {
  const { of, types, on, protocols, unless }: OptionSpec = OPTIONS[name]
  const { opener, protocol, type, target } = context
  if (protocols !== undefined && !protocols.includes(protocol)) {
    return `only ${listAnd(protocols)} has it, and this is ${protocol}`
  }
  const reason = unless?.(context)
  if (reason !== undefined) return reason
  if (types !== undefined && !types.includes(type)) {
    if (type === 'dgram' && of.every(other => !TYPES[other].includes(type))) {
      return 'a datagram socket accepts no connections'
    }
    const sockets = types.includes('dgram') ? 'datagram' : 'stream'
    return `it is for ${sockets} sockets, and this is ${SOCKET_NAMES[type]}`
  }
  if (!of.includes(opener)) {
    return `it is an option of ${listAnd(of.filter(other => TYPES[other].includes(type)))}`
  }
  if (on === undefined || on.includes(target)) return undefined
  if (target === 'fd') return 'the socket that is passed in has its address already'
  if (target === 'unix') return 'it is for TCP ({ host, port }), and this is a Unix socket'
  return 'it is for Unix sockets, and this is TCP'
}
