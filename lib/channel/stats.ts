import { Counter } from '#native'
import { environment } from '../native/environment.js'
import type { ChannelCore } from './core.js'

/** Counters of what a channel has done since it was made, and of what it holds now. */
export interface ChannelStats {
  /** Messages that were received. */
  received: number
  /** Bytes of the received messages. */
  receivedBytes: number
  /** Descriptors of the received messages. */
  receivedFds: number
  /** Messages that could not be delivered. */
  malformed: number
  /** Bytes of a stream that belong to no frame. They are skipped. */
  noise: number
  /** Replies that arrived after their request had timed out or was aborted. They are dropped. */
  lateReplies: number
  /** Messages that the kernel or the queue has taken. */
  sent: number
  /** Bytes of the sent messages. */
  sentBytes: number
  /** Descriptors of the sent messages. */
  sentFds: number
  /** Queued messages that were not delivered. */
  undelivered: number
  /** Messages in the queue. */
  queued: number
  /** Bytes in the queue. */
  queuedBytes: number
  /** Descriptors in the queue. */
  queuedFds: number
  /** Messages that were read but not delivered to a consumer. */
  unread: number
  /** Bytes of a stream that were read but are not a complete message yet. */
  inHand: number
  /** How often the thread has polled for a message of the channel (option `busyPoll`). */
  busyPolls: number
  /** How often a message has arrived while it polled. */
  busyPollHits: number
  /** Received descriptors that are neither taken nor closed. */
  openFds: number
  /** Handlers of `serve` that run. */
  handlers: number
  /**
   * Requests on a datagram socket that `serve` has dropped: replies to their sender wait in the
   * queue, or too many of its requests wait.
   */
  droppedRequests: number
  /**
   * Replies that `serve` has dropped: their sender has no address, or a relative one, or their
   * connection was replaced.
   */
  droppedReplies: number
  /** Requests on a datagram socket whose handler has failed, and that got no reply. */
  failedRequests: number
  /** Descriptors of the whole process, received on any channel, that threads have yet to close. */
  closing: number
}

/** Returns the statistics of a channel; after it is closed, the last ones. */
export function statsOf(core: ChannelCore): ChannelStats {
  const { handle, receiver, serveCounts } = core
  const counters = handle.counters()
  return {
    received: counters[Counter.Received],
    receivedBytes: counters[Counter.ReceivedBytes],
    receivedFds: counters[Counter.ReceivedFds],
    malformed: counters[Counter.Refused],
    noise: counters[Counter.Noise],
    lateReplies: receiver.lateReplies,
    sent: counters[Counter.Sent],
    sentBytes: counters[Counter.SentBytes],
    sentFds: counters[Counter.SentFds],
    undelivered: counters[Counter.Undelivered],
    queued: counters[Counter.Queued],
    queuedBytes: counters[Counter.QueuedBytes],
    queuedFds: counters[Counter.QueuedFds],
    unread: receiver.unread,
    inHand: counters[Counter.InHand],
    busyPolls: counters[Counter.BusyPolls],
    busyPollHits: counters[Counter.BusyPollHits],
    openFds: handle.openFds,
    handlers: core.runningHandlers,
    droppedRequests: serveCounts?.droppedRequests ?? 0,
    droppedReplies: serveCounts?.droppedReplies ?? 0,
    failedRequests: serveCounts?.failedRequests ?? 0,
    closing: environment.pendingCloses(),
  }
}
