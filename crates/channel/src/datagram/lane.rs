//! The queue for one destination, and what it waits for.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use fdwire_socket::{Address, Datagram};

/// The first and the longest of pauses that double.
pub(crate) type Pauses = (Duration, Duration);

/// The pauses of a lane that can only try again.
pub(crate) const RETRY: Pauses = (Duration::from_millis(10), Duration::from_secs(1));

/// The pauses between looks at a send buffer that somebody holds.
pub(crate) const LOOK: Pauses = (Duration::from_millis(1), Duration::from_millis(100));

/// A lane that has looked at longer and longer intervals up to this one waits for somebody who is
/// stuck: what others read is no news to it.
const NEWS: Duration = Duration::from_millis(16);

/// A message that the kernel hasn't taken yet.
pub(crate) struct Queued {
    pub(crate) seq: u64,
    pub(crate) bytes: Box<[u8]>,
    /// Its length (bytes), though they may be in a file.
    pub(crate) len: usize,
    pub(crate) fds: Vec<OwnedFd>,
    pub(crate) deadline: Option<Instant>,
}

impl Queued {
    /// How many bytes it has in a file; None where they are here.
    pub(crate) fn in_file(&self) -> Option<usize> {
        (self.bytes.len() != self.len).then_some(self.len)
    }
}

/// What a lane waits for; where it has a pause too, for whichever comes first.
pub(crate) enum Wait {
    /// The channel's socket to be writable: that of a connected one is honest.
    Writable,
    /// This socket, connected to the receiver, to be writable.
    Receiver(Datagram),
    /// Somebody to read.
    Share,
    /// The pause.
    Pause,
}

/// The queue for one destination.
pub(crate) struct Lane {
    /// None: the peer.
    pub(crate) to: Option<Address>,
    pub(crate) queue: VecDeque<Queued>,
    pub(crate) bytes: usize,
    pub(crate) fds: usize,
    pub(crate) wait: Wait,
    /// When to try again, whatever else happens.
    pub(crate) retry_at: Option<Instant>,
    /// The last pause.
    pub(crate) pause: Duration,
    /// Whether it wants to hear that somebody has read.
    pub(crate) news: bool,
    /// The time under which the outbox has it in its list.
    pub(crate) timer: Option<Instant>,
}

impl Lane {
    /// An empty lane.
    pub(crate) fn new(to: Option<Address>) -> Self {
        Self {
            to,
            queue: VecDeque::new(),
            bytes: 0,
            fds: 0,
            wait: Wait::Pause,
            retry_at: None,
            pause: Duration::ZERO,
            news: false,
            timer: None,
        }
    }

    /// When there is something to do, whatever else happens.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let expiry = self.queue.front().and_then(|message| message.deadline);
        [expiry, self.retry_at].into_iter().flatten().min()
    }

    /// Sets what it waits for, and after which pause it tries anyhow; what it waited for before.
    pub(crate) fn set_wait(&mut self, wait: Wait, pauses: Option<Pauses>, now: Instant) -> Wait {
        self.retry_at = pauses.map(|(first, longest)| {
            self.pause = (self.pause * 2).clamp(first, longest);
            now + self.pause
        });
        self.news = matches!(wait, Wait::Share) && self.pause <= NEWS;
        std::mem::replace(&mut self.wait, wait)
    }

    /// Appends a message.
    pub(crate) fn push(&mut self, message: Queued) {
        self.bytes += message.len;
        self.fds += message.fds.len();
        self.queue.push_back(message);
    }

    /// Takes the oldest message out.
    pub(crate) fn pop(&mut self) -> Option<Queued> {
        let message = self.queue.pop_front()?;
        self.bytes -= message.len;
        self.fds -= message.fds.len();
        Some(message)
    }
}
