//! What a channel has accepted for one destination, until it is known what became of it.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

/// A message that is neither received nor reported as undelivered.
#[derive(Clone, Debug)]
pub struct Message {
    pub number: usize,
    /// Its sequence number, unless the kernel has accepted it at once.
    pub seq: Option<u64>,
    pub len: usize,
    pub fds: usize,
    /// When it expires at the latest.
    pub expires: Option<Instant>,
}

/// The messages of one channel to one destination.
#[derive(Default)]
pub struct Ledger {
    /// In the order in which they were accepted.
    pending: VecDeque<Message>,
    /// Messages whose successor was received: a report that they are undelivered must follow.
    skipped: BTreeMap<usize, Message>,
}

impl Ledger {
    pub fn accept(&mut self, message: Message) {
        self.pending.push_back(message);
    }

    /// Notes that the destination has received a message with `fds` descriptors.
    pub fn receive(&mut self, number: usize, fds: usize) {
        loop {
            let Some(message) = self.pending.pop_front() else {
                panic!("{number} was received twice, out of order, or although it was undelivered");
            };
            if message.number == number {
                assert_eq!(message.fds, fds, "descriptors of {number}");
                return;
            }
            self.skipped.insert(message.number, message);
        }
    }

    /// Notes that a queued message was reported as undelivered. Returns whether it is of this ledger.
    pub fn lose(&mut self, seq: u64) -> bool {
        if let Some(at) = self.pending.iter().position(|message| message.seq == Some(seq)) {
            self.pending.remove(at);
            return true;
        }
        let skipped = self.skipped.iter().find(|(_, message)| message.seq == Some(seq));
        let skipped = skipped.map(|(&number, _)| number);
        skipped.is_some_and(|number| self.skipped.remove(&number).is_some())
    }

    /// Returns the messages that are queued if `oldest` is the oldest one.
    pub fn queued(&self, oldest: Option<u64>) -> impl Iterator<Item = &Message> {
        let is_queued = move |seq: u64| oldest.is_some_and(|oldest| seq >= oldest);
        self.pending.iter().filter(move |message| message.seq.is_some_and(is_queued))
    }

    /// # Panics
    ///
    /// If it is not known of all messages what became of them.
    pub fn assert_settled(&self) {
        assert!(self.pending.is_empty(), "neither received nor reported: {:?}", self.pending);
        assert!(self.skipped.is_empty(), "missing without a report: {:?}", self.skipped);
    }
}
