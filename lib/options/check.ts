import type { ChannelOptions as NativeOptions } from '#native'
import {
  checkBoolean,
  checkFunction,
  checkInteger,
  checkIsObject,
  checkOneOf,
  describeValue,
  orElse,
  quote,
} from '../util/checks.js'
import { abortError } from '../util/errors.js'
import { type Address, isListenFd, isTcp } from './address.js'
import {
  type Empty,
  type Encoding,
  emptyOf,
  PROTOCOL_NAMES,
  type Protocol,
  rowOf,
  type SocketType,
} from './protocols.js'
import {
  checkNames,
  checkOpener,
  type Opener,
  type Target,
  type Wanted,
  whyNoFds,
} from './rules.js'
import type { AllowPeer, Unlink, WaitOptions } from './types.js'

export { checkIsObject } from '../util/checks.js'
export * from './protocols.js'
export type { Opener, Target } from './rules.js'
export type * from './types.js'

/** The options of a channel, a listener or a codec, checked and with their defaults. */
export interface CheckedOptions {
  protocol: Protocol
  type: SocketType
  /** undefined where each message says itself what it is. */
  encoding: Encoding | undefined
  /** What becomes of an empty message that is to be sent. */
  empty: Empty
  /** What native code gets. */
  native: NativeOptions
  /** 0 where no descriptor can travel. */
  maxFds: number
  allowRelative: boolean
  allowHalfOpen: boolean
  captureRejections: boolean
  /** Milliseconds; 0: none. */
  timeout: number
  signal: AbortSignal | undefined
  mode: number
  unlink: Unlink
  /** undefined: what is usual for the type. */
  localAddress: Address | null | undefined
  noDelay: boolean
  /** Seconds of idle before the first probe, 0 for the kernel's; false: no probes. */
  keepAlive: number | false
  backlog: number
  maxConnections: number
  reusePort: boolean
  /** undefined: everybody. */
  allowPeer: AllowPeer | undefined
  /** Bytes that were read already. */
  head: Uint8Array | undefined
  onMalformed: ((error: Error, before: number) => void) | undefined
}

type Given = Readonly<Record<string, unknown>>

const DEFAULT_TIMEOUT = 10_000
const MIB = 1024 * 1024
/** What the kernel takes as TCP_KEEPIDLE (s). */
const MAX_KEEP_ALIVE = 32_767

/**
 * Checks the options of a function that makes a channel, a listener or a codec, and fills in the
 * defaults.
 *
 * `address` is what `connect` and `listen` were given, wrong or not. Where they or `adopt` are given
 * a socket instead, what that is made for is known later: call again then, with its `target`.
 *
 * # Errors
 * TypeError, RangeError.
 */
export function checkOptions(
  opener: Opener,
  options: unknown,
  address?: unknown,
  target: Target = targetOf(opener, address),
): CheckedOptions {
  if (typeof options !== 'object' || options === null) {
    const names = PROTOCOL_NAMES.map(quote).join(', ')
    throw new TypeError(
      `${opener} needs options with a protocol, one of ${names}, not ${describeValue(options)}`,
    )
  }
  const given = options as Given
  const protocol = checkOneOf('protocol', given.protocol, PROTOCOL_NAMES)
  const type = checkType(opener, protocol, given.type)
  const wanted = { opener, protocol, type, target }
  checkOpener(wanted)
  checkNames(given, wanted)
  const encoding = checkEncoding(protocol, given.encoding)
  const maxFds = checkMaxFds(protocol, given.maxFds, whyNoFds(wanted))
  return {
    protocol,
    type,
    encoding,
    empty: checkEmpty(wanted, given.allowEmpty),
    native: checkNative(protocol, type, encoding, maxFds, given),
    maxFds,
    allowRelative: checkBoolean('allowRelative', given.allowRelative),
    allowHalfOpen: checkBoolean('allowHalfOpen', given.allowHalfOpen),
    captureRejections: checkBoolean('captureRejections', given.captureRejections),
    timeout: checkTimeout(given.timeout, DEFAULT_TIMEOUT),
    signal: checkSignal(given.signal),
    mode: checkInteger('mode', given.mode, 0o600, 0, 0o777),
    unlink: checkOneOf('unlink', orElse(given.unlink, 'stale'), [
      'stale',
      'always',
      false,
    ] as const),
    localAddress: given.localAddress as Address | null | undefined,
    noDelay: checkBoolean('noDelay', given.noDelay, true),
    keepAlive: checkKeepAlive(given.keepAlive),
    backlog: checkInteger('backlog', given.backlog, 511, 1),
    maxConnections: checkInteger('maxConnections', given.maxConnections, 10_000, 1),
    reusePort: checkBoolean('reusePort', given.reusePort),
    allowPeer: checkFunction('allowPeer', given.allowPeer),
    head: checkHead(given.head),
    onMalformed: checkFunction('onMalformed', given.onMalformed),
  }
}

/** As `checkOptions`, for `new Codec(protocol, options)`, where the protocol is no option. */
export function checkCodecOptions(protocol: unknown, options: object): CheckedOptions {
  checkIsObject('Codec', options)
  if ((options as Given).protocol !== undefined) {
    throw new TypeError('Codec has no option protocol: that is its first argument')
  }
  return checkOptions(
    'Codec',
    Object.create(options, { protocol: { value: protocol, enumerable: true } }),
  )
}

/** Checks the options of a call on a channel: none but `names` may be there. */
export function checkCallOptions(call: string, options: object, names: readonly string[]): void {
  checkIsObject(call, options)
  for (const name in options) {
    if (!names.includes(name) && (options as Given)[name] !== undefined) {
      throw new TypeError(`${call} has no option ${name}, only ${names.join(', ')}`)
    }
  }
}

/**
 * Checks the options of a call that waits: `timeout` (ms, `fallback` if absent; 0: no limit), `signal`
 * and `more`, which the caller checks itself.
 *
 * # Errors
 * TypeError, RangeError; AbortError if the signal is already aborted.
 */
export function checkWait(
  call: string,
  options: WaitOptions,
  fallback = 0,
  more: readonly string[] = [],
): { timeout: number; signal: AbortSignal | undefined } {
  checkCallOptions(call, options, ['timeout', 'signal', ...more])
  const signal = checkSignal(options.signal)
  if (signal?.aborted) throw abortError(signal)
  return { timeout: checkTimeout(options.timeout, fallback), signal }
}

/**
 * Refuses options that `call` sets itself. `fixed` maps the name of each to the reason.
 *
 * # Errors
 * TypeError.
 */
export function checkFixedOptions(
  call: string,
  options: object,
  fixed: Readonly<Record<string, string>>,
): void {
  checkIsObject(call, options)
  for (const [name, reason] of Object.entries(fixed)) {
    if ((options as Given)[name] === undefined) continue
    throw new TypeError(`${call} has no option ${name}: ${reason}`)
  }
}

/**
 * Checks that `channel` is a channel of `protocol`.
 *
 * # Errors
 * TypeError.
 */
export function checkChannel(call: string, channel: unknown, protocol: Protocol): void {
  const actual = (channel as { protocol?: unknown } | null | undefined)?.protocol
  if (actual === protocol) return
  const what = typeof actual === 'string' ? `one of ${actual}` : describeValue(channel)
  throw new TypeError(`${call} takes a channel of ${protocol}, not ${what}`)
}

/** Checks a `timeout` option (ms). */
export function checkTimeout(timeout: unknown, fallback: number): number {
  return checkInteger('timeout', timeout, fallback, 0)
}

/** Checks a `signal` option. */
export function checkSignal(signal: unknown): AbortSignal | undefined {
  if (signal === undefined || signal instanceof AbortSignal) return signal
  throw new TypeError('signal must be an AbortSignal')
}

function targetOf(opener: Opener, address: unknown): Target {
  if (opener === 'adopt' || (opener === 'listen' && isListenFd(address))) return 'fd'
  return isTcp(address) ? 'tcp' : 'unix'
}

/** The type of socket; where none is made it is no option, and only streams will do. */
function checkType(opener: Opener, protocol: Protocol, type: unknown): SocketType {
  const { types } = rowOf(protocol)
  const socketless = opener === 'over' || opener === 'Codec'
  if (socketless && types.includes('stream')) return 'stream'
  return checkOneOf(`type of ${protocol}`, socketless ? types[0] : orElse(type, types[0]), types)
}

function checkMaxFds(protocol: Protocol, given: unknown, none: string | undefined): number {
  const maxFds = checkInteger('maxFds', given, none ? 0 : rowOf(protocol).maxFds, 0, 253)
  if (none === undefined || maxFds === 0) return maxFds
  throw new TypeError(`maxFds must be 0 here, not ${maxFds}: ${none}`)
}

function checkEncoding(protocol: Protocol, given: unknown): Encoding | undefined {
  const { encodings } = rowOf(protocol)
  if (encodings.length === 0) return undefined
  return checkOneOf(`encoding of ${protocol}`, orElse(given, encodings[0]), encodings)
}

/** A codec has no receiver who would wait in vain, so to it an empty frame is one like any other. */
function checkEmpty({ opener, protocol, type }: Wanted, allowEmpty: unknown): Empty {
  const empty = emptyOf(protocol, type)
  if (checkBoolean('allowEmpty', allowEmpty) || (opener === 'Codec' && empty === 'refused'))
    return 'sent'
  return empty
}

function checkNative(
  protocol: Protocol,
  type: SocketType,
  encoding: Encoding | undefined,
  maxFds: number,
  given: Given,
): NativeOptions {
  const number = (name: string, fallback: number, least = 0) =>
    checkInteger(name, given[name], fallback, least)
  return {
    protocol,
    maxMessage: number('maxMessage', 16 * MIB, 1),
    maxFds,
    maxOpenFds: number('maxOpenFds', 256, 1),
    highWaterMark: number('highWaterMark', 65_536),
    maxQueued: number('maxQueued', 32 * MIB),
    maxQueuedFds: number('maxQueuedFds', 1_024),
    sendTimeout: type === 'dgram' ? number('sendTimeout', 30_000) : 0,
    text: encoding === 'text' || encoding === 'json',
    json: encoding === 'json',
    credentials: checkBoolean('credentials', given.credentials),
    memfd: checkBoolean('memfd', given.memfd, protocol === 'jsoncomm' && type === 'seqpacket'),
    lenient: checkBoolean('lenient', given.lenient),
    finalLine: checkBoolean('finalLine', given.finalLine),
  }
}

/** What is given in ms the kernel takes in seconds. */
function checkKeepAlive(given: unknown): number | false {
  if (given === undefined || given === false) return false
  if (given === true) return 0
  if (typeof given !== 'number') {
    throw new TypeError(`keepAlive must be true, false or a number, not ${describeValue(given)}`)
  }
  return Math.ceil(checkInteger('keepAlive', given, 0, 1, MAX_KEEP_ALIVE * 1_000) / 1_000)
}

function checkHead(head: unknown): Uint8Array | undefined {
  if (head === undefined || head instanceof Uint8Array) return head
  if (ArrayBuffer.isView(head)) {
    return new Uint8Array(head.buffer, head.byteOffset, head.byteLength)
  }
  throw new TypeError(
    `head must be a Buffer or another ArrayBufferView, not ${describeValue(head)}`,
  )
}
