import { addressText } from '../util/diagnostics.js'
import type { Channel } from './channel.js'
import type { ChannelCore } from './core.js'

/** Returns what console.log shows of a channel. */
export function fieldsOf(
  { fd, localAddress, remoteAddress, stats }: Channel,
  { options, lifecycle }: ChannelCore,
): Record<string, unknown> {
  const { queued, queuedBytes, queuedFds, unread, openFds, received, sent } = stats
  return {
    protocol: options.protocol,
    type: options.type,
    encoding: options.encoding,
    state: lifecycle.state,
    fd: fd < 0 ? undefined : fd,
    localAddress: addressText(localAddress),
    remoteAddress: remoteAddress === undefined ? undefined : addressText(remoteAddress),
    received,
    sent,
    queued: { messages: queued, bytes: queuedBytes, fds: queuedFds },
    unread,
    openFds,
    error: lifecycle.error,
  }
}
