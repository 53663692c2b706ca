import { Counter } from '#native'
import type { ChannelHandle } from '../native/handle.js'
import type { Receiver } from './receiver.js'

/** What a channel has done since it was made, and what it holds now. */
export interface ChannelStats {
  /** Messages that were received, their bytes and descriptors. */
  received: number
  receivedBytes: number
  receivedFds: number
  /** Messages that could not be delivered. */
  malformed: number
  /** Bytes of a stream outside of any frame, which were skipped. */
  noise: number
  /** Replies that arrived after their request was abandoned. */
  lateReplies: number
  /** Messages that the kernel or a queue has taken, their bytes and descriptors. */
  sent: number
  sentBytes: number
  sentFds: number
  /** Queued messages that were not delivered. */
  undelivered: number
  /** Messages in the send queue, their bytes and descriptors. */
  queued: number
  queuedBytes: number
  queuedFds: number
  /** Messages that were read and not delivered to a consumer. */
  unread: number
  /** Bytes of a stream that were read and are not a whole message yet. */
  inHand: number
  /** Received descriptors that are neither taken nor closed. */
  openFds: number
}

/** The statistics of a channel; once it is closed, what they were then. */
export function statsOf(handle: ChannelHandle, receiver: Receiver): ChannelStats {
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
    openFds: handle.openFds,
  }
}
