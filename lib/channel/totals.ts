import { Counter } from '#native'
import { totals } from '../native/counters.js'
import { environment, openReceivers } from '../native/environment.js'
import { ChannelCore } from './core.js'
import type { ChannelStats } from './stats.js'

/** The counters of channels that have a sum over all channels. */
type Summed =
  | 'received'
  | 'receivedBytes'
  | 'receivedFds'
  | 'malformed'
  | 'sent'
  | 'sentBytes'
  | 'sentFds'
  | 'undelivered'
  | 'queued'
  | 'queuedBytes'
  | 'queuedFds'
  | 'openFds'
  | 'closing'

/** What fdwire has done in this thread, and what it holds now: the sums over all channels. */
export interface Stats extends Pick<ChannelStats, Summed> {
  /** Open channels. */
  channels: number
  /** Open listeners. */
  listeners: number
  /** Channels that were made, the accepted ones included. */
  opened: number
  /** Connections that listeners have accepted. */
  accepted: number
  /** Accepted connections that were closed before they were delivered. */
  dropped: number
}

/**
 * Returns counters of everything that fdwire does in this thread. In a process without worker
 * threads that is the whole process.
 */
export function stats(): Stats {
  const cores = openReceivers().filter(receiver => receiver instanceof ChannelCore)
  const open = cores.map(({ handle }) => handle.counters())
  const sumOpen = (counter: Counter) => open.reduce((sum, counters) => sum + counters[counter], 0)
  const sum = (counter: Counter) => sumOpen(counter) + (totals.closed[counter] ?? 0)
  const { listeners, opened, accepted, dropped } = totals
  return {
    channels: cores.length,
    listeners,
    opened,
    accepted,
    dropped,
    received: sum(Counter.Received),
    receivedBytes: sum(Counter.ReceivedBytes),
    receivedFds: sum(Counter.ReceivedFds),
    malformed: sum(Counter.Refused),
    sent: sum(Counter.Sent),
    sentBytes: sum(Counter.SentBytes),
    sentFds: sum(Counter.SentFds),
    undelivered: sum(Counter.Undelivered),
    queued: sumOpen(Counter.Queued),
    queuedBytes: sumOpen(Counter.QueuedBytes),
    queuedFds: sumOpen(Counter.QueuedFds),
    openFds: sum(Counter.OpenFds),
    closing: environment.pendingCloses(),
  }
}
