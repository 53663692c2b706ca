import { type ConnectOptions, checkFixedOptions, type ListenOptions } from '../../options/check.js'
import type { Echo } from './clients.js'

/** Options that a `Channel` sets itself. */
type Fixed = 'protocol' | 'encoding' | 'type' | 'reusePort'

/** Options of `Channel.connect`: those of fdwire's `connect` over TCP. */
export interface ConnectingOptions extends Omit<ConnectOptions<'msg_channel'>, Fixed> {}

/** Options of `Channel.listen`: those of fdwire's `listen` over TCP, and two of its own. */
export interface ListeningOptions extends Omit<ListenOptions<'msg_channel'>, Fixed> {
  /** Whether other sockets may listen on the same port, with SO_REUSEPORT (true). */
  reuse?: boolean | undefined
  /**
   * Whether to print each client's address with console.log (false), or a function to call instead.
   */
  echo?: Echo | undefined
}

/**
 * Refuses options of `Channel.connect` and `Channel.listen` that a `Channel` sets itself.
 *
 * # Errors
 * TypeError.
 */
export function checkFixed(call: string, options: object): void {
  checkFixedOptions(call, options, {
    protocol: 'it is msg_channel',
    encoding: 'messages are Buffers',
    reusePort: 'use reuse of Channel.listen',
  })
}
