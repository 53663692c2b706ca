/** Options of descriptors beside the messages, and of messages in files in memory. */

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
  /** jsoncomm: whether a message too large for one record goes in a memfd (false, on seqpacket true). */
  memfd?: OnlyOf<'jsoncomm', P, boolean>
  /** The most descriptors of one message, either way (253 for jsoncomm, else 0); 0 over TCP. */
  maxFds?: number | undefined
  /** Received descriptors, neither taken nor closed, at which the channel stops reading (256). */
  maxOpenFds?: number | undefined
  /** The most queued descriptors, for datagrams those to one destination (1,024). */
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
    // It exists everywhere; where no descriptors can be passed it must be 0.
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

/** Why no descriptors can be passed; undefined where they can. */
function whyNoFds({ opener, target }: OptionContext): string | undefined {
  if (opener === 'over') return 'a Duplex stream carries no descriptors'
  if (opener === 'Codec') return 'a codec handles bytes alone'
  return target === 'tcp' ? 'TCP carries no descriptors' : undefined
}
