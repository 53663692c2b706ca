import { checkCallOptions, checkFixedOptions } from '../../options/check.js'
import {
  checkBoolean,
  checkFunction,
  checkInteger,
  describeValue,
  MAX_U31,
} from '../../util/checks.js'
import { FdwireError } from '../../util/errors.js'
import { NO_OPTIONS } from '../../util/no-options.js'
import { type DeriveKey, deriveKey } from './authentification.js'
import type { BufferLimits } from './buffers.js'
import { type Logger, SILENT, type Transport } from './transport.js'

/** Options of a protocol object. */
export interface ProtocolOptions {
  /** The shared secret (none), without which a peer is refused. A string is encoded as UTF-8. */
  secret?: string | Uint8Array | null | undefined
  /** Whether a client proves itself when a connection is made (false). */
  autoAuth?: boolean | undefined
  /** The channel name, for logs (none). Both sides use the client's name if it has one. */
  channelName?: string | null | undefined
  /**
   * Whether the connection is trusted only after both sides have proven themselves (false).
   *
   * The original requires one proof, so a client trusts any server that claims to accept its key.
   * With `autoAuth` the server proves itself too.
   */
  mutual?: boolean | undefined
  /** Derives the key for a seed, for peers that derive it in another way (default: {@link deriveKey}). */
  deriveKey?: DeriveKey | undefined
  /** The attempts of the peer to prove itself (5). After the last one the connection is closed. */
  maxAttempts?: number | undefined
  /** The most messages of one service and data id that are buffered (64). Beyond it the oldest one is dropped. */
  maxBufferedEach?: number | undefined
  /** The most messages that are buffered for `receive` (1,024). Beyond it the oldest one is dropped. */
  maxBuffered?: number | undefined
  /** The most bytes that are buffered for `receive` (bytes, 32 MiB). Beyond it the oldest messages are dropped. */
  maxBufferedBytes?: number | undefined
  /** The most requests in flight (1,024). Further ones wait for their turn. */
  maxRequests?: number | undefined
  /**
   * The most requests of the peer that wait or are in progress (4,096). If there are more, the
   * connection is closed. At a sixteenth of the limit the transport stops reading.
   */
  maxWaiting?: number | undefined
  /** The most bytes of those requests (bytes, 64 MiB). At a quarter of it the transport stops reading. */
  maxWaitingBytes?: number | undefined
  /** Receives the log: an object like `console` (none). Data is never logged. */
  logger?: Logger | undefined
}

/** The options of a protocol object, checked and with their defaults. */
export interface CheckedProtocolOptions extends BufferLimits {
  secret: Buffer | undefined
  autoAuth: boolean
  channelName: string | null
  mutual: boolean
  deriveKey: DeriveKey
  maxAttempts: number
  maxRequests: number
  maxWaiting: number
  maxWaitingBytes: number
  logger: Logger
}

const NAMES = [
  'secret',
  'autoAuth',
  'channelName',
  'mutual',
  'deriveKey',
  'maxAttempts',
  'maxBufferedEach',
  'maxBuffered',
  'maxBufferedBytes',
  'maxRequests',
  'maxWaiting',
  'maxWaitingBytes',
  'logger',
]

const MIB = 1024 * 1024

/**
 * Checks the options of a protocol object.
 *
 * # Errors
 * TypeError, RangeError, ERR_FDWIRE_ILL_FORMED_TEXT. No error contains the secret.
 */
export function checkProtocolOptions(options: ProtocolOptions): CheckedProtocolOptions {
  checkCallOptions('The protocol', options, NAMES)
  const count = (name: keyof ProtocolOptions, fallback: number, max = MAX_U31) =>
    checkInteger(name, options[name], fallback, 1, max)
  return {
    secret: checkSecret(options.secret),
    autoAuth: checkBoolean('autoAuth', options.autoAuth),
    channelName: checkName(options.channelName),
    mutual: checkBoolean('mutual', options.mutual),
    deriveKey: checkFunction<DeriveKey>('deriveKey', options.deriveKey) ?? deriveKey,
    maxAttempts: count('maxAttempts', 5, 64),
    maxBufferedEach: count('maxBufferedEach', 64),
    maxBuffered: count('maxBuffered', 1_024),
    maxBufferedBytes: count('maxBufferedBytes', 32 * MIB),
    maxRequests: count('maxRequests', 1_024),
    maxWaiting: count('maxWaiting', 4_096),
    maxWaitingBytes: count('maxWaitingBytes', 64 * MIB),
    logger: checkLogger(options.logger),
  }
}

function checkSecret(secret: unknown): Buffer | undefined {
  if (secret === undefined || secret === null) return undefined
  if (typeof secret !== 'string' && !(secret instanceof Uint8Array)) {
    throw new TypeError(`secret must be a string or a Buffer, not a value of type ${typeof secret}`)
  }
  if (secret.length === 0) throw new RangeError('secret must not be empty')
  if (typeof secret === 'string' && !secret.isWellFormed()) {
    throw new FdwireError(
      'ERR_FDWIRE_ILL_FORMED_TEXT',
      'secret contains a lone surrogate, which UTF-8 cannot encode: use a Buffer',
    )
  }
  return Buffer.from(secret as string)
}

/** The longest channel name (UTF-16 code units). */
export const MAX_NAME = 256

function checkName(name: unknown): string | null {
  if (name === undefined || name === null) return null
  if (typeof name !== 'string') {
    throw new TypeError(`channelName must be a string, not ${describeValue(name)}`)
  }
  if (name !== '' && name.length <= MAX_NAME) return name
  throw new RangeError(`channelName must have 1 to ${MAX_NAME} characters, not ${name.length}`)
}

/**
 * Checks a `logger` option. Its default logs nothing.
 *
 * # Errors
 * TypeError.
 */
export function checkLogger(logger: unknown): Logger {
  if (logger === undefined) return SILENT
  checkMethods('logger', logger, ['debug', 'info', 'warn', 'error'], 'console')
  return logger as Logger
}

/**
 * Checks that a value is a transport.
 *
 * # Errors
 * TypeError.
 */
export function checkTransport(transport: unknown): void {
  checkMethods('transport', transport, TRANSPORT_METHODS, 'SocketClient and ChannelTransport')
}

const TRANSPORT_METHODS = [
  'initChannelName',
  'isConnected',
  'reconnect',
  'registerCallback',
  'registerConnectCallback',
  'registerDisconnectCallback',
  'send',
] as const satisfies readonly (keyof Transport)[]

/** Throws a TypeError for a value without one of the methods that `models` have. */
function checkMethods(
  name: string,
  value: unknown,
  methods: readonly string[],
  models: string,
): void {
  const missing = methods.find(
    method => typeof (value as Record<string, unknown> | null | undefined)?.[method] !== 'function',
  )
  if (missing === undefined) return
  throw new TypeError(`${name} must have a method ${missing}, like ${models}`)
}

/**
 * Refuses channel options that a transport sets itself. `fixed` maps further ones to the reason.
 *
 * # Errors
 * TypeError.
 */
export function checkTransportOptions(
  call: string,
  options: object,
  fixed: Readonly<Record<string, string>> = NO_OPTIONS,
): void {
  checkFixedOptions(call, options, {
    protocol: 'it is socket_protocol',
    encoding: "it is 'buffer'",
    ...fixed,
  })
}
