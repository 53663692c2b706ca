//! Chooses the channel of the next turn.

use std::time::{Duration, Instant};

use fdwire_socket::Errno;

use super::{Entry, Reactor, watched};
use crate::batch::{Batch, Event};
use crate::poll::{EventFlags, Ready, Token};
use crate::{Site, Turn};

/// A channel that was the only ready one at the last epoll call.
pub(super) struct Lone {
    channel: usize,
    /// Whether it was also the only one at the call before. If two channels alternate, every
    /// assumption would be wrong.
    confirmed: bool,
    /// The number of calls since then that were skipped, on the assumption that it is ready again.
    assumed: u32,
}

impl Lone {
    pub(super) fn is(&self, index: usize) -> bool {
        self.channel == index
    }
}

/// Maximum number of consecutive calls that are skipped.
const ASSUMED_MAX: u32 = 8;

impl Reactor {
    /// Waits for at most `timeout` until a channel or listener is ready.
    ///
    /// # Errors
    ///
    /// `ENOMEM` of epoll_pwait2.
    pub fn poll(&mut self, timeout: Duration) -> Result<(), Errno> {
        self.ready.clear();
        // One channel is hot: reading from it at once saves the call of epoll.
        if timeout.is_zero()
            && let Some(lone) = &mut self.lone
            && lone.confirmed
            && lone.assumed < ASSUMED_MAX
        {
            lone.assumed += 1;
            let token = Token::Channel(lone.channel);
            self.ready.push(Ready { token, flags: EventFlags::IN });
            self.assumed = true;
            return Ok(());
        }
        self.ask(timeout)
    }

    /// Runs the next turn, and puts its events into `batch`. Returns the index of the channel or
    /// listener, or None if no turn is left.
    pub fn turn(&mut self, batch: &mut Batch<'_>) -> Option<usize> {
        let assumed = std::mem::take(&mut self.assumed);
        let turn = self.next_turn(batch);
        if assumed && batch.events.is_empty() {
            // The assumption was wrong.
            self.ask(Duration::ZERO).ok()?;
            return self.next_turn(batch);
        }
        turn
    }

    /// Returns the channel that was the only ready one at the last two epoll calls, unless it is
    /// time for another call.
    pub(super) fn hot_channel(&self) -> Option<usize> {
        let lone = self.lone.as_ref().filter(|lone| lone.confirmed)?;
        (lone.assumed < ASSUMED_MAX).then_some(lone.channel)
    }

    /// Counts a turn of a channel that was read without a call of epoll.
    pub(super) fn count_assumed(&mut self, index: usize) {
        if let Some(lone) = &mut self.lone
            && lone.is(index)
        {
            lone.assumed += 1;
        }
    }

    fn ask(&mut self, timeout: Duration) -> Result<(), Errno> {
        self.assumed = false;
        self.poller.wait(timeout, &mut self.ready)?;
        let before = self.lone.take().map(|lone| lone.channel);
        self.lone = match self.ready[..] {
            // Whether a watched descriptor is ready can only be asked.
            [Ready { token: Token::Channel(channel), flags }]
                if flags == EventFlags::IN && !self.is_watched(channel) =>
            {
                Some(Lone { channel, confirmed: before == Some(channel), assumed: 0 })
            }
            _ => None,
        };
        self.ready.reverse();
        if self.ready.iter().any(|ready| ready.token == Token::Timer) {
            self.collect_due();
        }
        Ok(())
    }

    fn next_turn(&mut self, batch: &mut Batch<'_>) -> Option<usize> {
        while let Some(ready) = self.ready.pop() {
            if self.handle(ready, batch) {
                return Some(self.after_turn(ready.token.index(), batch));
            }
        }
        while let Some(index) = self.due.pop() {
            if let Some(Entry::Channel(channel)) = self.entries.get_mut(index) {
                let site = Site { poller: &self.poller, index };
                batch.limit = channel.pace.limit();
                let turn = &mut Turn { site, shared: &mut self.shared, batch };
                channel.on_deadline(Instant::now(), turn);
                return Some(self.after_turn(index, batch));
            }
            if self.refused.contains_key(&index) {
                return Some(self.after_turn(index, batch));
            }
        }
        self.arm_new();
        None
    }

    /// Handles the readiness of one descriptor. Returns whether it belongs to a channel or
    /// listener.
    fn handle(&mut self, ready: Ready, batch: &mut Batch<'_>) -> bool {
        let index = ready.token.index();
        let Some(entry) = self.entries.get_mut(index) else { return false };
        let channel = match entry {
            Entry::Channel(channel) => channel,
            Entry::Listening(_) => {
                self.accept(index, batch);
                return true;
            }
            Entry::Watched(_) => {
                batch.events.push(Event::Readable(ready.flags.intersects(watched::ENDED)));
                return true;
            }
        };
        let site = Site { poller: &self.poller, index };
        batch.limit = channel.pace.limit();
        let turn = &mut Turn { site, shared: &mut self.shared, batch };
        match ready.token {
            Token::Channel(_) => channel.on_ready(ready.flags, turn),
            Token::WriteSpace(_) => channel.on_write_space(turn),
            Token::Receiver { queue, .. } => channel.on_receiver(queue, turn),
            Token::Timer | Token::Inner => return false,
        }
        true
    }

    fn after_turn(&mut self, index: usize, batch: &mut Batch<'_>) -> usize {
        if self.busy_polling && !batch.events.is_empty() {
            self.note_input(index);
        }
        if let Err(errno) = self.arm_after_turn(index) {
            batch.events.push(Event::Failed(errno, "epoll_ctl"));
        }
        // A channel whose turn was full continues by timer, after other events of the caller's
        // loop.
        self.schedule(index);
        index
    }

    /// Registers the channels that were accepted or connected since the last call. Most have read
    /// interest by now, so one call registers for their messages and their end; some are closed.
    pub(super) fn arm_new(&mut self) {
        while let Some(index) = self.unarmed.pop() {
            self.arm(index);
        }
    }
}
