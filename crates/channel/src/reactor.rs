//! All channels of one environment, and the turns in which they work.
//!
//! A turn belongs to one channel: its readiness is worked off into a batch, the batch is handed
//! over, and only then comes the next. Between two turns anything may happen to the channels.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use fdwire_socket::{Address, Control, Errno};
use slab::Slab;

use crate::batch::{Batch, Event};
use crate::channel::Channel;
use crate::inbox::Shared;
use crate::outbox::{SendError, Sent};
use crate::poll::{EventFlags, Poller, Ready, Token};

/// The channels of one environment.
pub struct Reactor {
    poller: Poller,
    channels: Slab<Channel>,
    shared: Shared,
    ready: Vec<Ready>,
    lone: Option<Lone>,
    /// Whether `ready` holds nothing but an assumption.
    assumed: bool,
    due: Vec<usize>,
    deadlines: BTreeSet<(Instant, usize)>,
}

/// The channel that alone was readable when the poller was last asked.
struct Lone {
    channel: usize,
    /// How often it was assumed to be so since.
    assumed: u32,
}

/// How often in a row that is assumed, before the poller is asked for the others again.
const ASSUMED_MAX: u32 = 8;

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
            lone: None,
            assumed: false,
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

    /// Whether a channel has the descriptor with this number.
    pub fn has_fd(&self, number: i32) -> bool {
        self.channels.iter().any(|(_, channel)| channel.socket().as_fd().as_raw_fd() == number)
    }

    /// Takes a channel out: dropped, it closes.
    pub fn remove(&mut self, index: usize) -> Option<Channel> {
        let mut channel = self.channels.try_remove(index)?;
        channel.disarm(&self.poller, index);
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
            // What can fail here is asking for messages, and whoever wants those has been told.
            let _ = channel.arm(&self.poller, index);
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

    /// Removes the paths that channels have bound; their sockets stay.
    pub fn unlink_all(&mut self) {
        for (_, channel) in &mut self.channels {
            channel.unlink();
        }
    }

    /// Collects who has something to do; waits for `timeout` at the most.
    ///
    /// # Errors
    ///
    /// When the kernel can't say; nothing does that but a lack of memory.
    pub fn poll(&mut self, timeout: Duration) -> Result<(), Errno> {
        self.ready.clear();
        // A loop that is woken for message after message is mostly woken by the same channel: to
        // read from it right away costs one call less than to ask who it is.
        if timeout.is_zero()
            && let Some(lone) = &mut self.lone
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

    /// Works off the next readiness into `batch`; whose it was, or None when all is done.
    pub fn turn(&mut self, batch: &mut Batch<'_>) -> Option<usize> {
        let assumed = std::mem::take(&mut self.assumed);
        let turn = self.next_turn(batch);
        if assumed && batch.events.is_empty() {
            // It was somebody else.
            self.ask(Duration::ZERO).ok()?;
            return self.next_turn(batch);
        }
        turn
    }

    fn ask(&mut self, timeout: Duration) -> Result<(), Errno> {
        self.assumed = false;
        self.poller.wait(timeout, &mut self.ready)?;
        self.lone = match self.ready[..] {
            [Ready { token: Token::Channel(channel), flags }] if flags == EventFlags::IN => {
                Some(Lone { channel, assumed: 0 })
            }
            _ => None,
        };
        // Turns are taken from the end.
        self.ready.reverse();
        if self.ready.iter().any(|ready| ready.token == Token::Timer) {
            self.collect_due();
        }
        Ok(())
    }

    fn next_turn(&mut self, batch: &mut Batch<'_>) -> Option<usize> {
        while let Some(ready) = self.ready.pop() {
            match ready.token {
                Token::Timer | Token::Newsroom => {}
                Token::Channel(index) => {
                    if let Some(channel) = self.channels.get_mut(index) {
                        let shared = &mut self.shared;
                        channel.on_ready(&self.poller, index, ready.flags, shared, batch);
                        return Some(self.after_turn(index, batch));
                    }
                }
                Token::News(index) => {
                    if let Some(channel) = self.channels.get_mut(index) {
                        channel.on_news(&self.poller, index, batch);
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
        let armed = channel.arm(&self.poller, index);
        self.schedule(index);
        armed
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
