import type { ChannelOptions as NativeOptions } from '#native'
import type { Address } from './address.js'

/** The protocols, and what each is made for: their first type and encoding are the defaults. */
export const PROTOCOLS = {
  jsoncomm: { types: ['dgram'], encodings: ['json'], maxFds: 253 },
  raw: { types: ['dgram'], encodings: ['buffer'], maxFds: 0 },
} as const

/** The name of a protocol: a framing, and nothing else. */
export type Protocol = keyof typeof PROTOCOLS

/** The type of a socket. */
export type SocketType = 'dgram'

/** What every function that makes a channel takes. */
export interface ChannelOptions<P extends Protocol = Protocol> {
  /** The framing. Required. */
  protocol: P
  /** The socket's type (the protocol's first; `raw` has no default yet). */
  type?: SocketType | undefined
  /** What a message is (the protocol's first). */
  encoding?: (typeof PROTOCOLS)[P]['encodings'][number] | undefined
  /** The largest message that is received (bytes, 16 MiB); a larger one is malformed. */
  maxMessage?: number | undefined
  /** The most descriptors of one message, either way (253 for jsoncomm, else 0). */
  maxFds?: number | undefined
  /** Received descriptors that nobody has taken or closed, at which reading stops (256). */
  maxOpenFds?: number | undefined
  /** Unsent bytes at which `send` returns false (64 KiB); datagrams do as soon as one is queued. */
  highWaterMark?: number | undefined
  /** The most that is queued for one destination (bytes, 32 MiB). */
  maxQueued?: number | undefined
  /** The most descriptors that are queued for one destination (1,024). */
  maxQueuedFds?: number | undefined
  /** How long a datagram may be queued (ms, 30,000; 0: for ever), before it is `'undelivered'`. */
  sendTimeout?: number | undefined
  /** Whether to send to relative paths that came as a sender's name (false). */
  allowRelative?: boolean | undefined
  /** Whether a listener's rejected promise destroys the channel (false), as for any EventEmitter. */
  captureRejections?: boolean | undefined
}

/** What takes time can be bounded and given up. */
export interface WaitOptions {
  /** Time limit (ms, 0: none). */
  timeout?: number | undefined
  /** Gives up when it is aborted. */
  signal?: AbortSignal | undefined
}

/** What becomes of a path that a socket is bound to. `timeout` (10,000) is for its directory's lock. */
interface PathOptions extends WaitOptions {
  /** The permissions of the path, whatever the umask (0o600). */
  mode?: number | undefined
  /**
   * What happens to a socket that is at the path already: `'stale'` (default) removes it if nobody
   * has it open, `'always'` removes it, `false` leaves it.
   */
  unlink?: 'stale' | 'always' | false | undefined
}

/** Options of `bind`. */
export interface BindOptions<P extends Protocol = Protocol>
  extends ChannelOptions<P>,
    PathOptions {}

/** Options of `connect`; those for a path are for `localAddress`, where that is one. */
export interface ConnectOptions<P extends Protocol = Protocol>
  extends ChannelOptions<P>,
    PathOptions {
  /** The own name: an address, null for none (the kernel's choice). */
  localAddress?: Address | null | undefined
}

/** The functions that make a channel. */
export type Opener = 'bind' | 'connect' | 'pair' | 'adopt'

/** The options of a channel, checked and with their defaults. */
export interface CheckedOptions {
  protocol: Protocol
  type: SocketType
  native: NativeOptions
  maxFds: number
  allowRelative: boolean
  captureRejections: boolean
  timeout: number
  signal: AbortSignal | undefined
  mode: number
  unlink: 'stale' | 'always' | false
  /** undefined: the kernel's choice. */
  localAddress: Address | null | undefined
}

const DEFAULT_TIMEOUT = 10_000
const MAX_U31 = 0x7fff_ffff

const COMMON = new Set([
  'protocol',
  'type',
  'encoding',
  'maxMessage',
  'maxFds',
  'maxOpenFds',
  'highWaterMark',
  'maxQueued',
  'maxQueuedFds',
  'sendTimeout',
  'allowRelative',
  'captureRejections',
])

const OWN: Record<Opener, ReadonlySet<string>> = {
  bind: new Set(['mode', 'unlink', 'timeout', 'signal']),
  connect: new Set(['localAddress', 'mode', 'unlink', 'timeout', 'signal']),
  pair: new Set(),
  adopt: new Set(),
}

const NO_CONNECTIONS = 'a datagram socket takes no connections'
const NO_STREAM = 'that is for streams, and this is a datagram socket'

/** Options that datagrams don't have, and why. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  backlog: NO_CONNECTIONS,
  maxConnections: NO_CONNECTIONS,
  allowPeer: NO_CONNECTIONS,
  reusePort: NO_CONNECTIONS,
  noDelay: NO_STREAM,
  keepAlive: NO_STREAM,
  allowHalfOpen: NO_STREAM,
}

/** Checks the options of a function that makes a channel, and fills in the defaults. */
export function checkOptions(opener: Opener, options: unknown): CheckedOptions {
  if (typeof options !== 'object' || options === null) {
    throw new TypeError(
      `${opener} needs options with a protocol, one of ${list(PROTOCOLS)}, not ${show(options)}`,
    )
  }
  const given = options as Record<string, unknown>
  checkNames(opener, given)
  const protocol = oneOf('protocol', given.protocol, Object.keys(PROTOCOLS)) as Protocol
  const known = PROTOCOLS[protocol]
  const type = checkType(opener, protocol, given.type)
  oneOf(`encoding of ${protocol}`, orElse(given.encoding, known.encodings[0]), known.encodings)
  const number = (name: string, fallback: number, least: number, most = MAX_U31) =>
    integer(name, given[name], fallback, least, most)
  number('highWaterMark', 65_536, 0)
  const maxFds = number('maxFds', known.maxFds, 0, 253)
  return {
    protocol,
    type,
    maxFds,
    native: {
      protocol,
      maxMessage: number('maxMessage', 16 * 1024 * 1024, 1),
      maxFds,
      maxOpenFds: number('maxOpenFds', 256, 1),
      maxQueued: number('maxQueued', 32 * 1024 * 1024, 0),
      maxQueuedFds: number('maxQueuedFds', 1_024, 0),
      sendTimeout: number('sendTimeout', 30_000, 0),
    },
    allowRelative: flag('allowRelative', given.allowRelative),
    captureRejections: flag('captureRejections', given.captureRejections),
    timeout: number('timeout', DEFAULT_TIMEOUT, 0),
    signal: checkSignal(given.signal),
    mode: number('mode', 0o600, 0, 0o777),
    unlink: oneOf('unlink', orElse(given.unlink, 'stale'), ['stale', 'always', false]) as
      | 'stale'
      | 'always'
      | false,
    localAddress: given.localAddress as Address | null | undefined,
  }
}

/** Checks the options of a call on a channel: none but `names` may be there. */
export function checkCallOptions(call: string, options: object, names: readonly string[]): void {
  checkIsObject(call, options)
  for (const name in options) {
    if (!names.includes(name) && (options as Record<string, unknown>)[name] !== undefined) {
      throw new TypeError(`${call} has no option ${name}, only ${names.join(', ')}`)
    }
  }
}

/** Checks that the options of a call are an object. */
export function checkIsObject(call: string, options: unknown): void {
  if (typeof options === 'object' && options !== null) return
  throw new TypeError(`${call} takes its options as an object, not ${show(options)}`)
}

/** Checks a `timeout` option (ms). */
export function checkTimeout(timeout: unknown, fallback: number): number {
  return integer('timeout', timeout, fallback, 0, MAX_U31)
}

/** Checks a `signal` option. */
export function checkSignal(signal: unknown): AbortSignal | undefined {
  if (signal === undefined || signal instanceof AbortSignal) return signal
  throw new TypeError('signal must be an AbortSignal')
}

function checkNames(opener: Opener, given: Record<string, unknown>): void {
  for (const name in given) {
    if (given[name] === undefined || COMMON.has(name) || OWN[opener].has(name)) continue
    const others = (Object.keys(OWN) as Opener[]).filter(other => OWN[other].has(name))
    const known = `it has ${[...COMMON, ...OWN[opener]].join(', ')}`
    const hint = others.length > 0 ? `that is one of ${others.join(' and ')}` : known
    const why = Object.hasOwn(ELSEWHERE, name) ? ELSEWHERE[name] : hint
    throw new TypeError(`${opener} has no option ${name}: ${why}`)
  }
}

function checkType(opener: Opener, protocol: Protocol, type: unknown): SocketType {
  if (type === undefined && protocol === 'raw') {
    throw new TypeError(`${opener} of raw needs a type: 'dgram'`)
  }
  return oneOf(
    `type of ${protocol}`,
    orElse(type, 'dgram'),
    PROTOCOLS[protocol].types,
  ) as SocketType
}

function oneOf(name: string, value: unknown, allowed: readonly unknown[]): unknown {
  if (allowed.includes(value)) return value
  const names = allowed.map(one => (typeof one === 'string' ? `'${one}'` : String(one)))
  throw new TypeError(`${name} must be ${names.join(' or ')}, not ${show(value)}`)
}

function integer(
  name: string,
  value: unknown,
  fallback: number,
  least: number,
  most: number,
): number {
  if (value === undefined) return fallback
  if (typeof value !== 'number') {
    throw new TypeError(`${name} must be a number, not ${show(value)}`)
  }
  if (Number.isInteger(value) && value >= least && value <= most) return value
  throw new RangeError(`${name} must be an integer from ${least} to ${most}, not ${value}`)
}

function flag(name: string, value: unknown): boolean {
  if (value === undefined || typeof value === 'boolean') return value ?? false
  throw new TypeError(`${name} must be true or false, not ${show(value)}`)
}

function show(value: unknown): string {
  if (typeof value === 'string') return `'${value}'`
  if (typeof value === 'object' && value !== null) return 'an object'
  if (typeof value === 'function') return 'a function'
  return typeof value === 'bigint' ? `${value}n` : String(value)
}

/** null is a value like any other, and none of the right ones: only undefined is absent. */
function orElse(value: unknown, fallback: unknown): unknown {
  return value === undefined ? fallback : value
}

function list(of: object): string {
  return Object.keys(of)
    .map(name => `'${name}'`)
    .join(', ')
}
