/** The options that choose the protocol and the socket type. All others depend on them. */

import { checkOneOf } from '../util/checks.js'
import {
  ALL,
  type Opener,
  type OptionContext,
  type OptionTable,
  SOCKETS,
  type Target,
} from './option.js'
import { PROTOCOL_NAMES, type Protocol, rowOf, type SocketType, type TypeOf } from './protocols.js'

/** The option that every function has. */
export interface ProtocolOptions<P extends Protocol> {
  /** The framing. */
  protocol: P
}

/** The option of functions that create or accept a socket. */
export interface SocketTypeOptions<P extends Protocol> {
  /** The socket's type (default: the protocol's first type). */
  type?: TypeOf<P> | undefined
}

export const TRANSPORT = {
  protocol: {
    of: ALL,
    default: ({ protocol }: OptionContext): Protocol => protocol,
    check: (_, value): Protocol => checkProtocol(value),
  },
  type: {
    of: SOCKETS,
    default: ({ type }: OptionContext): SocketType => type,
    check: (_, value, { opener, protocol }): SocketType => checkType(opener, protocol, value),
  },
} as const satisfies OptionTable<ProtocolOptions<Protocol> & SocketTypeOptions<Protocol>>

/**
 * Checks `protocol` and `type`, on which the other options depend.
 *
 * # Errors
 * TypeError.
 */
export function contextOf(
  opener: Opener,
  given: { protocol?: unknown; type?: unknown },
  target: Target,
): OptionContext {
  const protocol = checkProtocol(given.protocol)
  return { opener, protocol, type: checkType(opener, protocol, given.type), target }
}

function checkProtocol(protocol: unknown): Protocol {
  return checkOneOf('protocol', protocol, PROTOCOL_NAMES)
}

/**
 * Returns the socket type. `over` and `Codec` have no option `type`: theirs is a stream if
 * possible.
 */
function checkType(opener: Opener, protocol: Protocol, type: unknown): SocketType {
  const { types } = rowOf(protocol)
  const [first] = types
  if (opener === 'over' || opener === 'Codec') return types.includes('stream') ? 'stream' : first
  return type === undefined ? first : checkOneOf(`type of ${protocol}`, type, types)
}
