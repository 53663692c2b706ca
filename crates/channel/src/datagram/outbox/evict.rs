//! The limit of all queues of a socket together: at the limit, the queue that holds most loses its
//! oldest messages.

use std::collections::BTreeSet;

use super::{Context, Outbox};
use crate::batch::{Event, Undelivered, UndeliveredReason};
use crate::datagram::queue::{ENTRY, Queue};
use crate::limits::Counters;
use crate::send::{Queued, SendError};

/// Largest message in bytes that an empty queue always takes.
const ALWAYS: usize = 64 * 1024;

/// The reports of evicted messages may occupy the limit divided by this, in addition to it.
const REPORTS: usize = 4;

/// The queues by what they hold, and the reports of what was evicted.
#[derive(Default)]
pub(super) struct Evictions {
    /// What each queue holds (bytes), with its index.
    by_size: BTreeSet<(usize, usize)>,
    /// The events of evicted messages, until the next turn.
    reports: Vec<Event>,
}

impl Evictions {
    /// Returns whether a turn would have an event.
    pub(super) fn is_due(&self) -> bool {
        !self.reports.is_empty()
    }

    fn held_by_reports(&self) -> usize {
        self.reports.len() * size_of::<Event>()
    }
}

impl Outbox {
    /// Makes room for a message of `len` bytes in the queue `own`, which is None if it is empty.
    ///
    /// # Errors
    ///
    /// [`SendError::QueueFull`] if too many evicted messages have not been reported yet, because the
    /// program has not returned to its event loop.
    pub(super) fn make_room(
        &mut self,
        cx: &Context<'_>,
        len: usize,
        own: Option<usize>,
    ) -> Result<(), SendError> {
        let limit = cx.limits.max_queued_total;
        while self.held() + ENTRY + len > limit {
            if self.evictions.held_by_reports() > limit / REPORTS {
                let always = own.is_none() && len <= ALWAYS;
                return if always { Ok(()) } else { Err(SendError::QueueFull) };
            }
            let Some(&(_, largest)) = self.evictions.by_size.last() else { break };
            self.evict_oldest(cx, largest, own);
        }
        Ok(())
    }

    /// Moves the reports of evicted messages to `events`.
    pub(crate) fn report_evicted(&mut self, counters: &mut Counters, events: &mut Vec<Event>) {
        let undelivered = |event: &&Event| matches!(event, Event::Undelivered(_));
        let count = self.evictions.reports.iter().filter(undelivered).count();
        counters.undelivered += count as u64;
        events.append(&mut self.evictions.reports);
        self.evictions.reports = Vec::new();
    }

    /// Notes that a queue held `before` bytes until now.
    pub(super) fn note_size(&mut self, index: usize, before: usize) {
        let held = self.queues[index].held();
        self.evictions.by_size.remove(&(before, index));
        if held > 0 {
            self.evictions.by_size.insert((held, index));
        }
    }

    /// Returns whether the sums and sizes are those of the queues, for a debug assertion.
    pub(super) fn has_exact_sums(&self) -> bool {
        let held = |(index, queue): (usize, &Queue)| (queue.held(), index);
        let by_size = self.queues.iter().map(held).filter(|&(held, _)| held > 0);
        let sum = |of: fn(&Queue) -> usize| self.queues.iter().map(|(_, queue)| of(queue)).sum();
        let messages = sum(|queue| queue.messages.len());
        let queued =
            Queued { messages, bytes: sum(|queue| queue.bytes), fds: sum(|queue| queue.fds) };
        queued == self.queued && by_size.collect::<BTreeSet<_>>() == self.evictions.by_size
    }

    /// Returns the number of bytes that the messages of all queues count. Their reports have a limit
    /// of their own: one is as large as the message that it reports.
    fn held(&self) -> usize {
        self.queued.bytes + self.queued.messages * ENTRY
    }

    /// Drops the oldest message of a queue. Closes the queue if it is empty, unless it is `own`.
    fn evict_oldest(&mut self, cx: &Context<'_>, index: usize, own: Option<usize>) {
        let Some(message) = self.settle(index) else { return };
        let (reason, to) = (UndeliveredReason::Evicted, self.queues[index].to.clone());
        let dropped = Undelivered { reason, seq: message.seq, to };
        self.evictions.reports.push(Event::Undelivered(dropped));
        if self.queues[index].messages.is_empty() && own != Some(index) {
            let to = self.close_queue(cx, index);
            self.evictions.reports.push(Event::Drained(to));
        } else {
            self.update_timer(index);
        }
    }
}
