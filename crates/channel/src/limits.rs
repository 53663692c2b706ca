//! What a channel allows, and what it counts.

use std::time::Duration;

/// What a channel allows.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The largest message that is received (bytes).
    pub max_message: usize,
    /// The most descriptors that one message may bring.
    pub max_fds: usize,
    /// The most received descriptors that nobody has taken or closed, before reading stops.
    pub max_open_fds: usize,
    /// The most that is queued for one destination (bytes).
    pub max_queued: usize,
    /// The most descriptors that are queued for one destination.
    pub max_queued_fds: usize,
    /// How long a message may wait in a queue (None: for ever).
    pub send_timeout: Option<Duration>,
}

/// What a channel has done, since it was made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Messages that were received whole.
    pub received: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Their descriptors.
    pub received_fds: u64,
    /// Messages that were refused.
    pub refused: u64,
    /// Messages that the kernel or a queue has taken.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Their descriptors.
    pub sent_fds: u64,
    /// Messages that were queued and then given up.
    pub undelivered: u64,
}
