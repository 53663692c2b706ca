import { listAnd, listOr, quote } from '../util/checks.js'
import { PROTOCOL_NAMES, type Protocol, rowOf, type SocketType } from './protocols.js'

/** The functions that make a channel, a listener or a codec. */
export const OPENERS = ['bind', 'connect', 'listen', 'pair', 'adopt', 'over', 'Codec'] as const

/** A function that makes a channel, a listener or a codec. */
export type Opener = (typeof OPENERS)[number]

/** What a socket is or will be bound or connected to; `fd`: one that was given, of either sort. */
export type Target = 'unix' | 'tcp' | 'fd'

/** What an option belongs to; what is absent is no condition. */
interface Rule {
  /** The functions that have it. */
  of: readonly Opener[]
  /** The types of socket that have it. */
  types?: readonly SocketType[]
  /** The targets that have it. */
  on?: readonly Target[]
  /** Only the protocols whose row says so have it. */
  own?: true
}

/** What is asked for: who may have an option depends on it. */
export interface Wanted {
  opener: Opener
  protocol: Protocol
  type: SocketType
  target: Target
}

const ALL = OPENERS
const CHANNELS = ['bind', 'connect', 'listen', 'pair', 'adopt', 'over'] as const
const SOCKETS = ['bind', 'connect', 'listen', 'pair', 'adopt'] as const
const NAMED = ['bind', 'connect', 'listen'] as const
const CONNECTIONS = ['stream', 'seqpacket'] as const
const DGRAM = ['dgram'] as const
const STREAM = ['stream'] as const
const WITH_FDS = ['unix', 'fd'] as const

/** All options, and who has them. */
export const OPTIONS = {
  protocol: { of: ALL },
  type: { of: SOCKETS },
  encoding: { of: ALL },
  lenient: { of: ALL, own: true },
  allowEmpty: { of: ALL, own: true },
  finalLine: { of: ALL, own: true },
  memfd: { of: SOCKETS, own: true },
  maxMessage: { of: ALL },
  // Where no descriptor can travel it must be 0: see `whyNoFds`.
  maxFds: { of: ALL },
  maxOpenFds: { of: SOCKETS, on: WITH_FDS },
  highWaterMark: { of: CHANNELS },
  maxQueued: { of: CHANNELS },
  maxQueuedFds: { of: SOCKETS, on: WITH_FDS },
  sendTimeout: { of: SOCKETS, types: DGRAM },
  allowRelative: { of: SOCKETS, types: DGRAM },
  credentials: { of: SOCKETS, types: DGRAM },
  allowHalfOpen: { of: CHANNELS, types: CONNECTIONS },
  captureRejections: { of: CHANNELS },
  mode: { of: NAMED, on: ['unix'] },
  unlink: { of: NAMED, on: ['unix'] },
  localAddress: { of: ['connect'], on: ['unix'] },
  timeout: { of: NAMED },
  signal: { of: NAMED },
  noDelay: { of: ['connect', 'listen', 'adopt'], types: STREAM, on: ['tcp', 'fd'] },
  keepAlive: { of: ['connect', 'listen', 'adopt'], types: STREAM, on: ['tcp', 'fd'] },
  backlog: { of: ['listen'], types: CONNECTIONS },
  maxConnections: { of: ['listen'], types: CONNECTIONS },
  allowPeer: { of: ['listen'], types: CONNECTIONS },
  reusePort: { of: ['listen'], types: STREAM, on: ['tcp'] },
  head: { of: ['adopt'], types: STREAM },
  onMalformed: { of: ['Codec'] },
} as const satisfies Record<string, Rule>

/** The name of an option. */
export type OptionName = keyof typeof OPTIONS

/** The types of socket that each function can make, or take. */
const TYPES: Readonly<Record<Opener, readonly SocketType[]>> = {
  bind: DGRAM,
  connect: ['stream', 'seqpacket', 'dgram'],
  listen: CONNECTIONS,
  pair: ['stream', 'seqpacket', 'dgram'],
  adopt: ['stream', 'seqpacket', 'dgram'],
  over: STREAM,
  Codec: STREAM,
}

const KINDS: Readonly<Record<SocketType, string>> = {
  stream: 'a stream',
  seqpacket: 'a seqpacket socket',
  dgram: 'a datagram socket',
}

/** Throws where a function can't do anything with sockets of this type. */
export function checkOpener(wanted: Wanted): void {
  const { opener, protocol, type, target } = wanted
  const usable = TYPES[opener].filter(one => target !== 'tcp' || one === 'stream')
  if (usable.includes(type)) return
  const others = rowOf(protocol).types.filter(one => usable.includes(one))
  const orElse = others.length === 0 ? '' : `, or type: ${listOr(others.map(quote))}`
  throw new TypeError(`${opener} ${whyNotType(wanted)}${orElse}`)
}

/** Throws for options that are not to be had. */
export function checkNames(given: Readonly<Record<string, unknown>>, wanted: Wanted): void {
  for (const name in given) {
    if (given[name] === undefined) continue
    const why = isOption(name) ? whyNot(name, wanted) : `it has ${optionsOf(wanted).join(', ')}`
    if (why === undefined) continue
    throw new TypeError(`${wanted.opener} has no option ${name}: ${why}`)
  }
}

/** The options that are to be had. */
export function optionsOf(wanted: Wanted): OptionName[] {
  const names = Object.keys(OPTIONS) as OptionName[]
  return names.filter(name => whyNot(name, wanted) === undefined)
}

/** Why no descriptor can travel; undefined where they can. */
export function whyNoFds({ opener, target }: Wanted): string | undefined {
  if (opener === 'over') return 'no descriptor travels through a Duplex'
  if (opener === 'Codec') return 'a codec has bytes alone'
  return target === 'tcp' ? 'no descriptor travels over TCP' : undefined
}

/** Why a function can't do anything with sockets of this type, and what can. */
function whyNotType({ opener, protocol, type, target }: Wanted): string {
  const how = `${protocol} goes over ${KINDS[type]}`
  if (target === 'tcp' && type !== 'stream') {
    return `takes { host, port } for streams, and ${how}: use a path or an abstract name`
  }
  if (opener === 'bind') return `is for datagram sockets, and ${how}: use listen or connect`
  if (opener === 'listen') return `is for connections, and ${how}, which has none: use bind`
  const streams = PROTOCOL_NAMES.filter(name => rowOf(name).types.includes('stream'))
  return `is for streams, and ${how}: ${listOr(streams.map(quote))} would do`
}

function isOption(name: string): name is OptionName {
  return Object.hasOwn(OPTIONS, name)
}

/** Why an option is not to be had, and what has it; undefined where it is. */
function whyNot(name: OptionName, wanted: Wanted): string | undefined {
  const { of, types, on, own }: Rule = OPTIONS[name]
  const { opener, protocol, type, target } = wanted
  const { encodings, options } = rowOf(protocol)
  if (own && !options.some(option => option === name)) {
    return `that is one of ${listAnd(ownersOf(name))}, and this is ${protocol}`
  }
  if (name === 'encoding' && encodings.length === 0) {
    return `each message of ${protocol} says itself what it is`
  }
  if (types !== undefined && !types.includes(type)) {
    if (type === 'dgram' && of.every(other => !TYPES[other].includes(type))) {
      return 'a datagram socket takes no connections'
    }
    return `that is for ${types.includes('dgram') ? 'datagrams' : 'streams'}, and this is ${KINDS[type]}`
  }
  if (!of.includes(opener)) {
    return `that is one of ${listAnd(of.filter(other => TYPES[other].includes(type)))}`
  }
  if (on === undefined || on.includes(target)) return undefined
  if (target === 'fd') return 'the socket that was given has an address already'
  if (target === 'unix') return 'that is for TCP ({ host, port }), and this is a Unix socket'
  return 'that is for Unix sockets, and this is TCP'
}

/** The protocols that have an option of their own. */
function ownersOf(name: OptionName): string[] {
  return PROTOCOL_NAMES.filter(protocol => rowOf(protocol).options.some(option => option === name))
}
