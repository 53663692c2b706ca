//! The counters of a channel, as words of the shared table.

use fdwire_channel::Channel;
use napi_derive::napi;

/// The counters of a channel. The value of each is its position among the counters in the table.
#[napi]
#[derive(Clone, Copy)]
pub enum Counter {
    /// Messages that were received and delivered.
    Received,
    /// Bytes of the received messages.
    ReceivedBytes,
    /// Descriptors of the received messages.
    ReceivedFds,
    /// Received messages that were refused.
    Refused,
    /// Messages that the kernel or a queue has accepted.
    Sent,
    /// Bytes of the sent messages.
    SentBytes,
    /// Descriptors of the sent messages.
    SentFds,
    /// Queued messages that could not be delivered.
    Undelivered,
    /// Messages in the queues.
    Queued,
    /// Bytes in the queues.
    QueuedBytes,
    /// Descriptors in the queues.
    QueuedFds,
    /// Received descriptors that are neither taken nor closed.
    OpenFds,
    /// Bytes of a stream that belong to no frame.
    Noise,
    /// Bytes of a stream that were read but do not form a complete message yet.
    InHand,
    /// How often the loop has polled for a message of the channel.
    BusyPolls,
    /// How often a message has arrived while it polled.
    BusyPollHits,
    /// The sequence number of the oldest queued message; 0 if the queue is empty.
    OldestQueued,
    /// The sequence number of the next message to be queued.
    NextQueued,
}

/// The number of counters.
pub(crate) const COUNT: usize = Counter::NextQueued as usize + 1;

/// Writes the counters of a channel to the beginning of `words`, each as two words, the low one
/// first.
pub(crate) fn write(channel: &Channel, words: &mut [i32]) {
    let done = channel.counters();
    let queued = channel.queued();
    let (oldest, next) = channel.seqs();
    let (polls, hits) = channel.busy_polls();
    let values: [u64; COUNT] = [
        done.received,
        done.received_bytes,
        done.received_fds,
        done.refused,
        done.sent,
        done.sent_bytes,
        done.sent_fds,
        done.undelivered,
        queued.messages as u64,
        queued.bytes as u64,
        queued.fds as u64,
        channel.open_fds() as u64,
        done.noise,
        channel.buffered_input() as u64,
        polls,
        hits,
        oldest.unwrap_or(0),
        next,
    ];
    for (pair, value) in words.chunks_exact_mut(2).zip(values) {
        let bytes = value.to_le_bytes();
        pair[0] = i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        pair[1] = i32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
    }
}
