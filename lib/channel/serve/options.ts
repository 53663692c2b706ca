import type { FdSet } from '../../fds/fdset.js'
import type { Credentials } from '../../options/types.js'
import { checkSignal } from '../../options/wait.js'
import {
  checkFunction,
  checkInteger,
  checkIsObject,
  checkNames,
  describeValue,
  only,
} from '../../util/checks.js'
import type { From } from '../../wire/message.js'
import type { Channel } from '../channel.js'
import type { Reply } from './reply.js'

/** What a handler knows of a request besides its value and descriptors. */
export interface ServeContext<Receives = unknown, Sends = unknown> {
  /** The sender's address: undefined on a connected channel. */
  readonly from: From
  /** The channel. */
  readonly channel: Channel<Receives, Sends>
  /**
   * Aborted when no reply can be sent any more: the channel is closed, or the peer has closed or reset
   * the connection.
   */
  readonly signal: AbortSignal
  /** The sender's credentials. Only with the option `credentials`. */
  readonly credentials?: Credentials
}

/** What a handler may return. `undefined` means that there is no reply. */
// biome-ignore lint/suspicious/noConfusingVoidType: a function without `return` is a handler
export type ReplyOf<Sends> = Sends | Reply<Sends> | undefined | void

/** Handles a request of `serve`. */
export type ServeHandler<Receives = unknown, Sends = unknown> = (
  value: Receives,
  fds: FdSet,
  context: ServeContext<Receives, Sends>,
) => ReplyOf<Sends> | Promise<ReplyOf<Sends>>

/** Options of `serve`. */
export interface ServeOptions<Receives = unknown, Sends = unknown> {
  /** The most handlers that run at once (16; at least 1). */
  concurrency?: number | undefined
  /**
   * Handles the error of a handler, or of a reply that cannot be sent. It may return a reply. If it
   * does not, a connected channel is destroyed with the error.
   */
  onError?:
    | ((
        error: unknown,
        value: Receives,
        context: ServeContext<Receives, Sends>,
      ) => ReplyOf<Sends> | Promise<ReplyOf<Sends>>)
    | undefined
  /** Ends serving, but not the channel, when it is aborted. */
  signal?: AbortSignal | undefined
}

/** The arguments of `serve`, checked and with their defaults. */
export interface CheckedServe {
  handler: ServeHandler
  concurrency: number
  onError: NonNullable<ServeOptions['onError']> | undefined
  signal: AbortSignal | undefined
}

/** The default of `concurrency`. */
const CONCURRENCY = 16

const hasOption = only(['concurrency', 'onError', 'signal'])

/**
 * Checks the arguments of `serve`.
 *
 * # Errors
 * TypeError, RangeError.
 */
export function checkServe(handler: unknown, options: unknown): CheckedServe {
  if (typeof handler !== 'function') {
    throw new TypeError(`serve takes a handler, not ${describeValue(handler)}`)
  }
  checkIsObject('serve', options)
  checkNames('serve', options, hasOption)
  const { concurrency, onError, signal } = options as ServeOptions
  return {
    handler: handler as ServeHandler,
    concurrency: checkInteger('concurrency', concurrency, CONCURRENCY, 1),
    onError: checkFunction('onError', onError),
    signal: checkSignal(signal),
  }
}
