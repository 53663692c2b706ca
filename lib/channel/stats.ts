import { environment } from '../native/environment.js'
import type { Inbox } from './inbox.js'

/** What a channel has done, and what it has waiting. */
export interface ChannelStats {
  /** Messages that were received whole, their bytes and descriptors. */
  received: number
  receivedBytes: number
  receivedFds: number
  /** Messages that could not be delivered. */
  malformed: number
  /** Bytes of a stream outside of any frame, which were passed over. */
  noise: number
  /** Replies that came after their request had been given up. */
  lateReplies: number
  /** Messages that the kernel or a queue has taken, their bytes and descriptors. */
  sent: number
  sentBytes: number
  sentFds: number
  /** Queued messages that were given up. */
  undelivered: number
  /** Messages that are queued for sending, their bytes and descriptors. */
  queued: number
  queuedBytes: number
  queuedFds: number
  /** Messages that were read and that nobody has taken yet. */
  unread: number
  /** Bytes of a stream that were read and are no message yet. */
  inHand: number
  /** Received descriptors that nobody has taken or closed. */
  openFds: number
}

/** Reads what the open channel at `index` has done, from native code and from its inbox. */
export function readStats(index: number, inbox: Inbox): ChannelStats {
  const counted = environment.stats(index)
  const { refused } = inbox
  return {
    received: counted.received - refused.messages,
    receivedBytes: counted.receivedBytes - refused.bytes,
    receivedFds: counted.receivedFds - refused.fds,
    malformed: inbox.malformed,
    noise: counted.noise,
    lateReplies: inbox.lateReplies,
    sent: counted.sent,
    sentBytes: counted.sentBytes,
    sentFds: counted.sentFds,
    undelivered: counted.undelivered,
    queued: counted.queued,
    queuedBytes: counted.queuedBytes,
    queuedFds: counted.queuedFds,
    unread: inbox.unread,
    inHand: counted.inHand,
    openFds: counted.openFds,
  }
}
