import { Counter } from '#native'
import { totals } from '../native/counters.js'
import { environment, openReceivers } from '../native/environment.js'
import { ChannelCore } from './core.js'

/** What fdwire has done in this thread, and what it holds now: the sums over all channels. */
export interface Stats {
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
  /** Messages that were received. */
  received: number
  /** Bytes of the received messages. */
  receivedBytes: number
  /** Descriptors of the received messages. */
  receivedFds: number
  /** Messages that could not be delivered to the program. */
  malformed: number
  /** Messages that the kernel or a queue has taken. */
  sent: number
  /** Bytes of the sent messages. */
  sentBytes: number
  /** Descriptors of the sent messages. */
  sentFds: number
  /** Queued messages that were not delivered. */
  undelivered: number
  /** Messages in the queues of open channels. */
  queued: number
  /** Bytes in these queues. */
  queuedBytes: number
  /** Descriptors in these queues. */
  queuedFds: number
  /** Received descriptors that are neither taken nor closed. */
  openFds: number
  /** Descriptors of the whole process that threads have yet to close. */
  closing: number
}

/**
 * Returns counters of everything that fdwire does in this thread. In a process without worker
 * threads that is the whole process.
 */
export function stats(): Stats {
  const cores = openReceivers().filter(receiver => receiver instanceof ChannelCore)
  const open = cores.map(({ handle }) => handle.counters())
  const sumOpen = (counter: Counter) => open.reduce((sum, counters) => sum + counters[counter], 0)
  const sum = (counter: Counter) => sumOpen(counter) + (totals.closed?.[counter] ?? 0)
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
