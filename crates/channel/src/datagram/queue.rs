//! The queue of one destination, and what it waits for.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use fdwire_socket::{Address, Datagram, ForeignFd};

/// The first and the longest pause between attempts. Each pause is twice as long as the previous
/// one.
pub(crate) type Pauses = (Duration, Duration);

/// The pauses of a queue that waits for resources of the kernel.
pub(crate) const RETRY: Pauses = (Duration::from_millis(10), Duration::from_secs(1));

/// The pauses of a queue that waits for space in our send buffer.
pub(crate) const SPACE: Pauses = (Duration::from_millis(1), Duration::from_millis(100));

/// The longest pause during which a queue also waits for write-space edges. After longer ones its
/// receiver is probably stuck, and other receivers cause the edges.
const EDGES: Duration = Duration::from_millis(16);

/// Number of bytes of memory that a queued message occupies in addition to its own: its entry in the
/// queue, whose allocation has up to as many free entries, and the overhead of its own allocation.
pub const ENTRY: usize = 128;

const _: () =
    assert!(size_of::<QueuedMessage>() <= ENTRY / 3 * 2, "half of the entries may be free");

/// A message that the kernel has not accepted yet.
pub(crate) struct QueuedMessage {
    pub(crate) seq: u64,
    /// The bytes of the datagram.
    pub(crate) bytes: Box<[u8]>,
    /// The length of the message in bytes. If it differs from that of the datagram, the message is
    /// in a memfd.
    pub(crate) len: usize,
    pub(crate) fds: Vec<ForeignFd>,
    pub(crate) deadline: Option<Instant>,
}

impl QueuedMessage {
    /// Returns the length of the message in bytes if it is in a memfd.
    pub(crate) fn memfd_len(&self) -> Option<usize> {
        (self.bytes.len() != self.len).then_some(self.len)
    }
}

/// What a queue waits for. If it also has a pause, the wait ends with the earlier of the two.
pub(crate) enum Wait {
    /// The channel's socket becomes writable. Only a connected socket reports that reliably.
    Writable,
    /// This socket, which is connected to the receiver, becomes writable.
    Receiver(Datagram),
    /// Any receiver consumes one of our datagrams.
    Share,
    /// The pause ends.
    Pause,
}

/// The queue of one destination.
pub(crate) struct Queue {
    /// The destination; None for the peer.
    pub(crate) to: Option<Address>,
    pub(crate) messages: VecDeque<QueuedMessage>,
    pub(crate) bytes: usize,
    pub(crate) fds: usize,
    pub(crate) wait: Wait,
    /// When the pause ends.
    pub(crate) retry_at: Option<Instant>,
    /// The last pause; zero after progress.
    pub(crate) pause: Duration,
    /// Whether it waits for write-space edges.
    pub(crate) takes_edges: bool,
    /// The deadline that the outbox has entered into its timers.
    pub(crate) timer: Option<Instant>,
}

impl Queue {
    /// Creates an empty queue.
    pub(crate) fn new(to: Option<Address>) -> Self {
        Self {
            to,
            messages: VecDeque::new(),
            bytes: 0,
            fds: 0,
            wait: Wait::Pause,
            retry_at: None,
            pause: Duration::ZERO,
            takes_edges: false,
            timer: None,
        }
    }

    /// Returns when the next attempt is due or the oldest message expires, whichever is earlier.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let expiry = self.messages.front().and_then(|message| message.deadline);
        [expiry, self.retry_at].into_iter().flatten().min()
    }

    /// Sets what the queue waits for, with the next of `pauses`, and returns the previous wait.
    pub(crate) fn set_wait(&mut self, wait: Wait, pauses: Option<Pauses>, now: Instant) -> Wait {
        self.retry_at = pauses.map(|(first, longest)| {
            self.pause = (self.pause * 2).clamp(first, longest);
            now + self.pause
        });
        self.takes_edges = matches!(wait, Wait::Share) && self.pause <= EDGES;
        std::mem::replace(&mut self.wait, wait)
    }

    /// Returns the number of bytes that its messages count towards the limits.
    pub(crate) fn held(&self) -> usize {
        self.bytes + self.messages.len() * ENTRY
    }

    pub(crate) fn push(&mut self, message: QueuedMessage) {
        self.bytes += message.len;
        self.fds += message.fds.len();
        self.messages.push_back(message);
    }

    pub(crate) fn pop(&mut self) -> Option<QueuedMessage> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.len;
        self.fds -= message.fds.len();
        Some(message)
    }
}
