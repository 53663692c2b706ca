//! The deadlines of the channels and of refused registrations, for which the poller has one timer.

use std::time::Instant;

use super::{Entry, Reactor};

impl Reactor {
    /// Makes the timer fire at the channel's next deadline.
    pub(super) fn schedule(&mut self, index: usize) {
        let Some(channel) = self.channel_mut(index) else { return };
        let Some(deadline) = channel.deadline() else { return };
        // An earlier deadline remains, even if it no longer applies: when it expires, the next one
        // is scheduled.
        if channel.scheduled.is_some_and(|at| at <= deadline) {
            return;
        }
        if let Some(at) = channel.scheduled.replace(deadline) {
            self.deadlines.remove(&(at, index));
        }
        self.deadlines.insert((deadline, index));
        self.set_timer();
    }

    /// Moves the channels whose deadlines have expired to `due`.
    pub(super) fn collect_due(&mut self) {
        self.poller.timer_fired();
        let now = Instant::now();
        while let Some(&(deadline, index)) = self.deadlines.first() {
            if deadline > now {
                break;
            }
            self.deadlines.pop_first();
            if let Some(Entry::Channel(channel)) = self.entries.get_mut(index) {
                channel.scheduled.take_if(|at| *at == deadline);
            }
            self.due.push(index);
        }
        self.set_timer();
    }

    pub(super) fn set_timer(&mut self) {
        if let Some(&(deadline, _)) = self.deadlines.first() {
            // Setting an existing timer cannot fail.
            let _ = self.poller.wake_by(deadline, Instant::now());
        }
    }
}
