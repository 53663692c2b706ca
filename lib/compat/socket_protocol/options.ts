import { checkCallOptions } from '../../options/check.js'
import {
  checkBoolean,
  checkFunction,
  checkInteger,
  describeValue,
  MAX_U31,
} from '../../util/checks.js'
import { FdwireError } from '../../util/errors.js'
import { type DeriveKey, deriveKey } from './authentification.js'
import type { BufferLimits } from './buffers.js'
import { type Logger, SILENT } from './transport.js'

/** Options of a protocol object. */
export interface ProtocolOptions {
  /** What both sides know (none): whoever doesn't is refused. A text is taken as UTF-8. */
  secret?: string | Uint8Array | null | undefined
  /** Whether a client proves itself as soon as there is a connection (false). */
  autoAuth?: boolean | undefined
  /** The channel's name, for logs (none); the client's is that of both sides. */
  channelName?: string | null | undefined
  /**
   * Whether the connection is trusted only when both sides have proven themselves (false). The
   * original asks for one proof, so that a client believes whoever tells it that it is believed.
   * With `autoAuth` the server proves itself too then.
   */
  mutual?: boolean | undefined
  /** Makes the key for a seed: for peers that make it otherwise than {@link deriveKey}. */
  deriveKey?: DeriveKey | undefined
  /** Attempts of the peer to prove itself, at which the connection is closed (5). */
  maxAttempts?: number | undefined
  /** Messages for `receive` of one service and datum (64): past it the oldest is dropped. */
  maxBufferedEach?: number | undefined
  /** Messages for `receive` in all (1,024): past it the oldest is dropped. */
  maxBuffered?: number | undefined
  /** The bytes of all messages for `receive` (32 MiB): past it the oldest is dropped. */
  maxBufferedBytes?: number | undefined
  /** Requests under way (1,024): others wait for their turn. */
  maxRequests?: number | undefined
  /**
   * Requests of the peer that are worked on or wait for that (4,096): past it the connection is
   * closed. The transport is asked to hold the next ones at a sixteenth of it.
   */
  maxWaiting?: number | undefined
  /** The bytes of these (64 MiB): past it the connection is closed; they are held at a quarter. */
  maxWaitingBytes?: number | undefined
  /** Where the log goes, shaped like `console` (nowhere). Data is never in it. */
  logger?: Logger | undefined
}

/** The options, checked. */
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

/** Checks the options of a protocol object. No error shows the secret. */
export function checkProtocolOptions(options: ProtocolOptions): CheckedProtocolOptions {
  checkCallOptions('The protocol', options, NAMES)
  const count = (name: keyof ProtocolOptions, fallback: number, most?: number) =>
    checkInteger(name, options[name], fallback, 1, most)
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
    maxWaitingBytes: count('maxWaitingBytes', 64 * MIB, MAX_U31),
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
    throw new FdwireError('ERR_FDWIRE_ILL_FORMED_TEXT', 'secret has a lone surrogate')
  }
  return Buffer.from(secret as string)
}

/** The longest channel name (characters). */
export const MAX_NAME = 256

function checkName(name: unknown): string | null {
  if (name === undefined || name === null) return null
  if (typeof name !== 'string')
    throw new TypeError(`channelName must be a string, not ${describeValue(name)}`)
  if (name !== '' && name.length <= MAX_NAME) return name
  throw new RangeError(`channelName must have 1 to ${MAX_NAME} characters, not ${name.length}`)
}

/** Checks a `logger` option. */
export function checkLogger(logger: unknown): Logger {
  if (logger === undefined) return SILENT
  const missing = ['debug', 'info', 'warn', 'error'].find(
    name => typeof (logger as Record<string, unknown> | null)?.[name] !== 'function',
  )
  if (missing === undefined) return logger as Logger
  throw new TypeError(`logger must have the method ${missing}, as console has`)
}

/** Refuses the options of a channel that the classes here set themselves. */
export function checkNotFixed(call: string, options: object, more: string[] = []): void {
  for (const name of ['protocol', 'encoding', ...more]) {
    if ((options as Record<string, unknown>)[name] === undefined) continue
    throw new TypeError(`${call} has no option ${name}`)
  }
}
