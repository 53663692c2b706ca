import { diagnostics } from '../util/diagnostics.js'
import type { Malformed } from '../wire/message.js'
import type { ReceiverHost } from './receiver-host.js'

const { malformed } = diagnostics

/** Reports a malformed message, for which no call waits. */
export function reportMalformed(
  channel: ReceiverHost['channel'],
  { error, from }: Malformed,
): void {
  if (malformed.hasSubscribers) malformed.publish({ channel, error, from })
  channel.emit('malformed', error, from)
}
