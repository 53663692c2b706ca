//! Busy polling: whether the caller's loop polls for messages instead of waiting.
//!
//! All channels share one stay, which ends when the last of them has polled for long enough.

use std::time::{Duration, Instant};

use super::{Entry, Reactor};
use crate::channel::Channel;
use crate::poll::{EventFlags, Ready, Token};

/// The stay of all channels of a reactor.
#[derive(Default)]
pub(super) struct Stay {
    /// When it ends; None if no channel polls.
    until: Option<Instant>,
    /// The channels that have taken part in it.
    channels: Vec<usize>,
}

impl Reactor {
    /// Returns whether the caller's loop should poll at `now` instead of waiting, because a channel
    /// expects a message soon.
    pub fn is_polling(&mut self, now: Instant) -> bool {
        let Some(until) = self.stay.until else { return false };
        if now <= until {
            return true;
        }
        self.end_stay();
        false
    }

    /// Makes the next [`turn`](Self::turn) read from the hot channel without a call of epoll.
    /// Returns false if no single channel is hot, or if the hot one does not poll.
    pub fn poll_hot(&mut self) -> bool {
        let Some(index) = self.hot_channel() else { return false };
        let polls = self.channel(index).is_some_and(|channel| channel.busy_poll.is_some());
        if !polls || !self.ready.is_empty() || !self.due.is_empty() {
            return false;
        }
        self.ready.push(Ready { token: Token::Channel(index), flags: EventFlags::IN });
        true
    }

    /// Records that the caller has handled a turn of a channel: how many events it had (each plain
    /// message counts as one), and how long that took. The next turns have fewer events if it took
    /// long. The channel may poll for its next message.
    pub fn handled(&mut self, index: usize, events: usize, took: Duration) {
        if let Some(channel) = self.channel_mut(index) {
            channel.pace.note(events, took);
        }
        // After some turns, epoll is called again, and reports other ready channels.
        self.count_assumed(index);
        self.begin_stay(index, Channel::reads);
    }

    /// Sets whether a call waits for a message of a channel.
    pub fn set_awaited(&mut self, index: usize, awaited: bool) {
        let Some(busy_poll) = self.channel_mut(index).and_then(|it| it.busy_poll.as_mut()) else {
            return;
        };
        busy_poll.awaited = awaited;
        self.poll_for_reply(index);
    }

    /// Lets a channel poll for a reply if a call waits for one, and if messages were sent after the
    /// last input.
    #[inline]
    pub(super) fn poll_for_reply(&mut self, index: usize) {
        if self.busy_polling {
            self.begin_stay(index, |channel| {
                let sent = channel.counters().sent;
                channel.busy_poll.as_ref().is_some_and(|it| it.awaited && it.sent_before < sent)
            });
        }
    }

    /// Ends the part of a channel in the stay, because its turn has read messages.
    pub(super) fn note_input(&mut self, index: usize) {
        let Some(channel) = self.channel_mut(index) else { return };
        let sent = channel.counters().sent;
        if let Some(busy_poll) = &mut channel.busy_poll {
            busy_poll.on_input(Instant::now());
            busy_poll.sent_before = sent;
        }
    }

    /// Removes a channel from the stay, which ends if no other channel takes part in it.
    pub(super) fn leave_stay(&mut self, index: usize) {
        let Stay { until, channels } = &mut self.stay;
        channels.retain(|&channel| channel != index);
        if channels.is_empty() {
            *until = None;
        }
    }

    fn begin_stay(&mut self, index: usize, applies: impl FnOnce(&Channel) -> bool) {
        let Some(Entry::Channel(channel)) = self.entries.get_mut(index) else { return };
        if channel.busy_poll.is_none() || !applies(channel) {
            return;
        }
        let Some(busy_poll) = &mut channel.busy_poll else { return };
        let Some(until) = busy_poll.begin(Instant::now()) else { return };
        let stay = &mut self.stay;
        if !std::mem::replace(&mut busy_poll.in_stay, true) {
            stay.channels.push(index);
        }
        stay.until = Some(stay.until.map_or(until, |end| end.max(until)));
    }

    fn end_stay(&mut self) {
        let Stay { channels, .. } = std::mem::take(&mut self.stay);
        for index in channels {
            if let Some(busy_poll) = self.channel_mut(index).and_then(|it| it.busy_poll.as_mut()) {
                busy_poll.end();
            }
        }
    }
}

impl Channel {
    /// Returns how often the loop has polled for a message of the channel, and how often one has
    /// arrived meanwhile.
    pub fn busy_polls(&self) -> (u64, u64) {
        self.busy_poll.as_ref().map_or((0, 0), |it| (it.stays, it.hits))
    }
}
