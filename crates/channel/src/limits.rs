//! The limits and counters of a channel.

use std::rc::Rc;
use std::time::{Duration, Instant};

use fdwire_socket::closing;

/// Number of descriptors of the process that wait to be closed at which channels stop receiving
/// descriptors.
const PENDING_MAX: usize = 1_024;

/// Pause before a channel checks again whether fewer descriptors wait to be closed.
const CLOSING_RETRY: Duration = Duration::from_millis(50);

/// The limits of a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Maximum length of a received message in bytes.
    pub max_message: usize,
    /// Maximum number of descriptors of a received message.
    pub max_fds: usize,
    /// Number of open received descriptors at which reading stops. A descriptor is open until it is
    /// taken or closed.
    pub max_open_fds: usize,
    /// The number of queued bytes of a stream above which `send` reports
    /// [`Sent::Queued`](crate::Sent).
    pub high_water_mark: usize,
    /// Maximum number of bytes that are queued for one destination. Each datagram also counts the
    /// memory of its entry in the queue.
    pub max_queued: usize,
    /// Maximum number of bytes that are queued for all destinations of a datagram socket together.
    pub max_queued_total: usize,
    /// Maximum number of descriptors that are queued for one destination.
    pub max_queued_fds: usize,
    /// Whether a jsoncomm message may be sent and received in a memfd.
    pub memfd: bool,
    /// How long a datagram may be queued; None for no limit.
    pub send_timeout: Option<Duration>,
    /// How long no byte may move in either direction of a connection; None for no limit.
    pub idle_timeout: Option<Duration>,
    /// How long a message of a stream may take in all; None for no limit.
    pub message_timeout: Option<Duration>,
    /// How long to poll for the next message instead of waiting for it; zero for not at all.
    pub busy_poll: Duration,
}

impl Limits {
    /// Whether every message with descriptors is refused, so that the kernel may refuse it at its
    /// sender.
    pub fn refuses_fds(&self) -> bool {
        self.max_fds == 0 && !self.memfd
    }

    /// The number of queued descriptors of a stream above which `send` reports
    /// [`Sent::Queued`](crate::Sent).
    pub(crate) fn fds_high_water_mark(&self) -> usize {
        self.max_queued_fds / 2
    }
}

/// The counters of a channel since it was created.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Messages that were received and delivered.
    pub received: u64,
    /// The bytes of these messages.
    pub received_bytes: u64,
    /// The descriptors of these messages.
    pub received_fds: u64,
    /// Messages that were received and refused.
    pub refused: u64,
    /// Bytes of a stream outside frames.
    pub noise: u64,
    /// Messages that the kernel or a queue has accepted.
    pub sent: u64,
    /// The bytes of these messages.
    pub sent_bytes: u64,
    /// The descriptors of these messages.
    pub sent_fds: u64,
    /// Queued messages that could not be delivered.
    pub undelivered: u64,
}

/// What has moved on a connection so far.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Activity {
    /// Changes with each byte that is received.
    pub(crate) received: (u64, u64),
    /// Changes with each byte that the kernel accepts.
    pub(crate) sent: u64,
    /// Identifies the message that has begun and not ended.
    pub(crate) message: Option<u64>,
}

/// The limits and counters of a channel.
pub(crate) struct Meter {
    /// Shared by channels with equal limits.
    pub(crate) limits: Rc<Limits>,
    pub(crate) counters: Counters,
    /// Received descriptors that are neither taken nor closed yet.
    pub(crate) open_fds: usize,
}

impl Meter {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits: Rc::new(limits), counters: Counters::default(), open_fds: 0 }
    }

    /// Returns whether reading stops because of descriptors that are not closed yet.
    pub(crate) fn holds_fds(&self) -> bool {
        self.at_max_open_fds() || self.waits_for_closing()
    }

    /// Returns when a channel with read interest (`reading`) checks again whether it can read on, if
    /// too many descriptors of the process wait to be closed.
    pub(crate) fn retry_at(&self, reading: bool) -> Option<Instant> {
        (reading && self.waits_for_closing()).then(|| Instant::now() + CLOSING_RETRY)
    }

    /// Counts received descriptors as no longer open. Returns whether reading has stopped because
    /// of them.
    pub(crate) fn released(&mut self, fds: usize) -> bool {
        let held = self.holds_fds();
        self.open_fds = self.open_fds.saturating_sub(fds);
        held
    }

    /// Returns whether the limit of open descriptors is reached.
    pub(crate) fn at_max_open_fds(&self) -> bool {
        self.open_fds >= self.limits.max_open_fds
    }

    /// Returns whether too many descriptors of the process wait to be closed.
    pub(crate) fn waits_for_closing(&self) -> bool {
        self.limits.max_fds > 0 && closing::pending() >= PENDING_MAX
    }

    /// Counts a received message.
    pub(crate) fn received(&mut self, bytes: usize, fds: usize) {
        self.open_fds += fds;
        self.counters.received += 1;
        self.counters.received_bytes += bytes as u64;
        self.counters.received_fds += fds as u64;
    }

    /// Counts a message as refused instead of received. Its descriptors are still open.
    pub(crate) fn count_malformed(&mut self, bytes: usize, fds: usize) {
        self.counters.received -= 1;
        self.counters.received_bytes -= bytes as u64;
        self.counters.received_fds -= fds as u64;
        self.counters.refused += 1;
    }

    /// Counts messages that the kernel or a queue has accepted, with all their bytes and descriptors.
    pub(crate) fn sent(&mut self, messages: usize, bytes: usize, fds: usize) {
        self.counters.sent += messages as u64;
        self.counters.sent_bytes += bytes as u64;
        self.counters.sent_fds += fds as u64;
    }
}
