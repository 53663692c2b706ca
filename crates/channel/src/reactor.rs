//! All channels of one environment, and the turns in which they work.
//!
//! A turn belongs to one channel: its readiness is worked off into a batch, the batch is handed
//! over, and only then comes the next. Between two turns anything may happen to the channels.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use fdwire_socket::{Address, Control, Errno};
use slab::Slab;

use crate::batch::{Batch, Event};
use crate::channel::{Channel, Shared};
use crate::outbox::{SendError, Sent};
use crate::poll::{Poller, Ready, Token};

/// The channels of one environment.
pub struct Reactor {
    poller: Poller,
    channels: Slab<Channel>,
    shared: Shared,
    ready: Vec<Ready>,
    due: Vec<usize>,
    deadlines: BTreeSet<(Instant, usize)>,
}

impl Reactor {
    /// A reactor without channels.
    ///
    /// # Errors
    ///
    /// When the kernel gives no epoll instance or timer.
    pub fn new() -> Result<Self, Errno> {
        Ok(Self {
            poller: Poller::new()?,
            channels: Slab::new(),
            shared: Shared { control: Control::new(), overflow: Vec::new(), received: Vec::new() },
            ready: Vec::new(),
            due: Vec::new(),
            deadlines: BTreeSet::new(),
        })
    }

    /// Takes a channel in; its index.
    pub fn add(&mut self, channel: Channel) -> usize {
        self.channels.insert(channel)
    }

    /// The channel at `index`.
    pub fn channel(&self, index: usize) -> Option<&Channel> {
        self.channels.get(index)
    }

    /// Takes a channel out: dropped, it closes.
    pub fn remove(&mut self, index: usize) -> Option<Channel> {
        let mut channel = self.channels.try_remove(index)?;
        channel.disarm(&self.poller);
        if let Some(at) = channel.scheduled.take() {
            self.deadlines.remove(&(at, index));
        }
        Some(channel)
    }

    /// Whether somebody wants messages of this channel.
    ///
    /// # Errors
    ///
    /// When the kernel can't poll one more descriptor.
    pub fn want(&mut self, index: usize, wanted: bool) -> Result<(), Errno> {
        self.with(index, |channel| channel.want(wanted))
    }

    /// Whether somebody waits for queued messages to be settled.
    pub fn watch(&mut self, index: usize, watched: bool) {
        if let Some(channel) = self.channels.get_mut(index) {
            channel.watch(watched);
        }
    }

    /// `fds` received descriptors of this channel have been taken or closed.
    ///
    /// # Errors
    ///
    /// When the kernel can't poll one more descriptor.
    pub fn released(&mut self, index: usize, fds: usize) -> Result<(), Errno> {
        self.with(index, |channel| channel.released(fds))
    }

    /// Sends a message to the peer, or to `to` on a channel without one.
    ///
    /// # Errors
    ///
    /// When the message was not taken; nothing of it is queued then.
    pub fn send(
        &mut self,
        index: usize,
        bytes: &[u8],
        fds: &[BorrowedFd<'_>],
        to: Option<&Address>,
    ) -> Result<Sent, SendError> {
        let channel = self.channels.get_mut(index).ok_or(SendError::Refused(Errno::BADF))?;
        let sent = channel.send(&self.poller, index, bytes, fds, to)?;
        if let Sent::Queued(_) = sent {
            channel.arm(&self.poller, index).map_err(SendError::Refused)?;
            self.schedule(index);
        }
        Ok(sent)
    }

    /// One non-blocking attempt for everything that is queued anywhere.
    pub fn try_all(&mut self) {
        for (index, channel) in &mut self.channels {
            channel.try_all(&self.poller, index);
        }
    }

    /// Collects who has something to do; waits for `timeout` at the most.
    ///
    /// # Errors
    ///
    /// When the kernel can't say; nothing does that but a lack of memory.
    pub fn poll(&mut self, timeout: Duration) -> Result<(), Errno> {
        self.ready.clear();
        self.poller.wait(timeout, &mut self.ready)?;
        // Turns are taken from the end.
        self.ready.reverse();
        if self.ready.iter().any(|ready| ready.token == Token::Timer) {
            self.collect_due();
        }
        Ok(())
    }

    /// Works off the next readiness into `batch`; whose it was, or None when all is done.
    pub fn turn(&mut self, batch: &mut Batch<'_>) -> Option<usize> {
        while let Some(ready) = self.ready.pop() {
            match ready.token {
                Token::Timer => {}
                Token::Channel(index) => {
                    if let Some(channel) = self.channels.get_mut(index) {
                        let shared = &mut self.shared;
                        channel.on_ready(&self.poller, index, ready.flags, shared, batch);
                        return Some(self.after_turn(index, batch));
                    }
                }
                Token::Receiver { channel: index, lane } => {
                    if let Some(channel) = self.channels.get_mut(index) {
                        channel.on_receiver(&self.poller, index, lane, batch);
                        return Some(self.after_turn(index, batch));
                    }
                }
            }
        }
        while let Some(index) = self.due.pop() {
            if let Some(channel) = self.channels.get_mut(index) {
                channel.on_time(&self.poller, index, Instant::now(), batch);
                return Some(self.after_turn(index, batch));
            }
        }
        None
    }

    fn with(&mut self, index: usize, change: impl FnOnce(&mut Channel)) -> Result<(), Errno> {
        let Some(channel) = self.channels.get_mut(index) else { return Ok(()) };
        change(channel);
        channel.arm(&self.poller, index)
    }

    fn after_turn(&mut self, index: usize, batch: &mut Batch<'_>) -> usize {
        if let Some(channel) = self.channels.get_mut(index)
            && let Err(errno) = channel.arm(&self.poller, index)
        {
            batch.events.push(Event::Failed(errno, "epoll_ctl"));
        }
        self.schedule(index);
        index
    }

    /// Sees to it that the channel's next deadline is met.
    fn schedule(&mut self, index: usize) {
        let Some(channel) = self.channels.get_mut(index) else { return };
        let Some(deadline) = channel.deadline() else { return };
        // An earlier one stands: it finds nothing to do, and then this one is scheduled.
        if channel.scheduled.is_some_and(|at| at <= deadline) {
            return;
        }
        if let Some(at) = channel.scheduled.replace(deadline) {
            self.deadlines.remove(&(at, index));
        }
        self.deadlines.insert((deadline, index));
        self.set_timer();
    }

    fn set_timer(&mut self) {
        if let Some(&(deadline, _)) = self.deadlines.first() {
            // The timer exists already: setting it can't fail.
            let _ = self.poller.wake_by(deadline, Instant::now());
        }
    }

    fn collect_due(&mut self) {
        self.poller.timer_fired();
        let now = Instant::now();
        while let Some(&(deadline, index)) = self.deadlines.first() {
            if deadline > now {
                break;
            }
            self.deadlines.pop_first();
            if let Some(channel) = self.channels.get_mut(index) {
                channel.scheduled = None;
                self.due.push(index);
            }
        }
        self.set_timer();
    }
}

impl AsFd for Reactor {
    /// The descriptor that is readable when there is something to do.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poller.as_fd()
    }
}
