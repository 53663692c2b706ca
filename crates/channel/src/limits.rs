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
    /// Unsent bytes of a stream above which `send` says so.
    pub high_water_mark: usize,
    /// The most that is queued for one destination (bytes).
    pub max_queued: usize,
    /// The most descriptors that are queued for one destination.
    pub max_queued_fds: usize,
    /// Whether a jsoncomm message may be in a file in memory, either way.
    pub memfd: bool,
    /// How long a message may wait in a queue (None: for ever).
    pub send_timeout: Option<Duration>,
}

impl Limits {
    /// Queued descriptors of a stream above which `send` says so.
    pub(crate) fn many_queued_fds(&self) -> usize {
        self.max_queued_fds / 2
    }
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
    /// Bytes of a stream outside of any frame.
    pub noise: u64,
    /// Messages that the kernel or a queue has taken.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Their descriptors.
    pub sent_fds: u64,
    /// Messages that were queued and then given up.
    pub undelivered: u64,
}

/// What both directions of a channel look at.
pub(crate) struct Meter {
    pub(crate) limits: Limits,
    pub(crate) counters: Counters,
    /// Received descriptors that nobody has taken or closed.
    pub(crate) open_fds: usize,
}

impl Meter {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, counters: Counters::default(), open_fds: 0 }
    }

    /// Whether as many received descriptors are open as the limit allows.
    pub(crate) fn holds_fds(&self) -> bool {
        self.open_fds >= self.limits.max_open_fds
    }

    /// Counts a message that was received whole.
    pub(crate) fn received(&mut self, bytes: usize, fds: usize) {
        self.open_fds += fds;
        self.counters.received += 1;
        self.counters.received_bytes += bytes as u64;
        self.counters.received_fds += fds as u64;
    }

    /// Counts a message that the kernel or a queue has taken.
    pub(crate) fn sent(&mut self, bytes: usize, fds: usize) {
        self.counters.sent += 1;
        self.counters.sent_bytes += bytes as u64;
        self.counters.sent_fds += fds as u64;
    }
}
