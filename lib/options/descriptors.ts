/** Options for the descriptors of messages, and for messages in a memfd. */

import { checkInteger } from '../util/checks.js'
import { MAX_MESSAGE_FDS } from '../util/descriptor.js'
import {
  ALL,
  boolean,
  integer,
  type OnlyOf,
  type OptionContext,
  type OptionTable,
  SOCKETS,
} from './option.js'
import { type Protocol, rowOf } from './protocols.js'

/** Options of channels over sockets. */
export interface DescriptorOptions<P extends Protocol> {
  /**
   * jsoncomm: whether a message that is too large for one packet is passed in a memfd (default: true
   * on seqpacket, else false).
   */
  memfd?: OnlyOf<'jsoncomm', P, boolean>
  /**
   * The most descriptors of one message, sent or received (default: 253 for jsoncomm, else 0). Must
   * be 0 where no descriptors can travel: over TCP, with `over` and in a `Codec`.
   */
  maxFds?: number | undefined
  /** Received descriptors, neither taken nor closed, at which the channel stops reading (256). */
  maxOpenFds?: number | undefined
  /** The most descriptors in the queue; for datagrams, in that of each destination (1,024). */
  maxQueuedFds?: number | undefined
}

/** A socket that is passed in may turn out to be a Unix socket. */
const WITH_FDS = ['unix', 'fd'] as const

export const DESCRIPTORS = {
  memfd: {
    of: SOCKETS,
    protocols: ['jsoncomm'],
    default: ({ protocol, type }: OptionContext): boolean =>
      protocol === 'jsoncomm' && type === 'seqpacket',
    check: boolean,
  },
  maxFds: {
    // The option exists everywhere. It must be 0 where no descriptors can be passed.
    of: ALL,
    default: (context: OptionContext): number =>
      whyNoFds(context) === undefined ? rowOf(context.protocol).maxFds : 0,
    check: checkMaxFds,
  },
  maxOpenFds: { of: SOCKETS, on: WITH_FDS, default: 256, check: integer(1) },
  maxQueuedFds: { of: SOCKETS, on: WITH_FDS, default: 1_024, check: integer(0) },
} as const satisfies OptionTable<DescriptorOptions<Protocol>>

function checkMaxFds(name: string, value: unknown, context: OptionContext): number {
  const maxFds = checkInteger(name, value, 0, 0, MAX_MESSAGE_FDS)
  const reason = whyNoFds(context)
  if (reason === undefined || maxFds === 0) return maxFds
  throw new TypeError(`${name} must be 0 here, not ${maxFds}: ${reason}`)
}

/** Explains why no descriptors can be passed. Returns undefined if they can. */
function whyNoFds({ opener, target }: OptionContext): string | undefined {
  if (opener === 'over') return 'a Duplex stream carries no descriptors'
  if (opener === 'Codec') return 'a codec handles bytes alone'
  return target === 'tcp' ? 'TCP carries no descriptors' : undefined
}
