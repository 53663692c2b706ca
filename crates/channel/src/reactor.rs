//! All channels of one environment, and the turns in which they work.
//!
//! A turn belongs to one channel: its readiness is worked off into a batch, the batch is handed
//! over, and only then comes the next. Between two turns anything may happen to the channels.

mod listeners;
mod streams;

use std::collections::BTreeSet;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::rc::Rc;
use std::time::{Duration, Instant};

use fdwire_socket::{Address, Control, Errno};
use slab::Slab;

use crate::batch::{Batch, Event};
use crate::channel::Channel;
use crate::listener::Listening;
use crate::poll::{EventFlags, Poller, Ready, Token};
use crate::send::{SendError, Sent};
use crate::stream::{Payload, Spare};
use crate::{Shared, Site};

/// The channels of one environment.
pub struct Reactor {
    poller: Poller,
    entries: Slab<Entry>,
    shared: Shared,
    spare: Rc<Spare>,
    ready: Vec<Ready>,
    lone: Option<Lone>,
    /// Whether `ready` holds nothing but an assumption.
    assumed: bool,
    due: Vec<usize>,
    deadlines: BTreeSet<(Instant, usize)>,
    /// Streams that have something to send which nobody has tried to.
    unflushed: Vec<usize>,
    /// Channels that were accepted and are not polled for their end yet.
    accepted: Vec<usize>,
}

enum Entry {
    Channel(Box<Channel>),
    Listening(Box<Listening>),
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
            entries: Slab::new(),
            shared: Shared { control: Control::new(), overflow: Vec::new(), received: Vec::new() },
            spare: Rc::default(),
            ready: Vec::new(),
            lone: None,
            assumed: false,
            due: Vec::new(),
            deadlines: BTreeSet::new(),
            unflushed: Vec::new(),
            accepted: Vec::new(),
        })
    }

    /// Takes a channel in; its index.
    pub fn add(&mut self, channel: Channel) -> usize {
        self.entries.insert(Entry::Channel(Box::new(channel)))
    }

    /// The channel at `index`.
    pub fn channel(&self, index: usize) -> Option<&Channel> {
        match self.entries.get(index)? {
            Entry::Channel(channel) => Some(channel),
            Entry::Listening(_) => None,
        }
    }

    /// Whether a channel or listener has the descriptor with this number.
    pub fn has_fd(&self, number: i32) -> bool {
        self.entries.iter().any(|(_, entry)| match entry {
            Entry::Channel(channel) => channel.owns(number),
            Entry::Listening(listening) => listening.fd().as_raw_fd() == number,
        })
    }

    /// A descriptor of the process at the other end of a channel, which belongs to the channel.
    ///
    /// # Errors
    ///
    /// `BADF` where there is no such channel, and those of
    /// [`peer_pidfd`](fdwire_socket::peer_pidfd).
    pub fn peer_pidfd(&mut self, index: usize) -> Result<BorrowedFd<'_>, Errno> {
        self.channel_mut(index).ok_or(Errno::BADF)?.peer_pidfd()
    }

    /// Takes a channel out: dropped, it closes.
    pub fn remove(&mut self, index: usize) -> Option<Channel> {
        let (poller, entries) = (&self.poller, &mut self.entries);
        let Some(Entry::Channel(channel)) = entries.get_mut(index) else { return None };
        channel.disarm(Site { poller, index });
        if let Some(at) = channel.scheduled.take() {
            self.deadlines.remove(&(at, index));
        }
        // What is ready for it is nothing to the next one with this index.
        self.ready.retain(|ready| ready.token.index() != index);
        match entries.remove(index) {
            Entry::Channel(channel) => Some(*channel),
            Entry::Listening(_) => None,
        }
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
        if let Some(channel) = self.channel_mut(index) {
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
    /// On a stream small messages wait for [`flush`](Self::flush), or until there is more than the
    /// high-water mark. `text` is what the payload is, where the protocol tells.
    ///
    /// # Errors
    ///
    /// When the message was not taken; nothing of it is queued then.
    pub fn send(
        &mut self,
        index: usize,
        payload: Payload<'_>,
        text: bool,
        fds: &[BorrowedFd<'_>],
        to: Option<&Address>,
    ) -> Result<Sent, SendError> {
        let site = Site { poller: &self.poller, index };
        let Some(Entry::Channel(channel)) = self.entries.get_mut(index) else {
            return Err(SendError::Refused(Errno::BADF));
        };
        let (sent, unlisted) = channel.send(site, payload, text, fds, to)?;
        self.after_send(index, sent, unlisted);
        Ok(sent)
    }

    #[inline]
    fn after_send(&mut self, index: usize, sent: Sent, unlisted: bool) {
        if unlisted {
            self.unflushed.push(index);
        }
        if let Sent::Queued(_) = sent {
            // What can fail here is asking for messages, and whoever wants those has been told.
            let _ = self.arm(index);
            self.schedule(index);
        }
    }

    /// One non-blocking attempt for everything that is queued anywhere.
    pub fn try_all(&mut self) {
        for (index, entry) in &mut self.entries {
            if let Entry::Channel(channel) = entry {
                channel.try_all(Site { poller: &self.poller, index });
            }
        }
    }

    /// Removes the paths that channels and listeners have bound; their sockets stay.
    pub fn unlink_all(&mut self) {
        for (_, entry) in &mut self.entries {
            match entry {
                Entry::Channel(channel) => channel.unlink(),
                Entry::Listening(listening) => listening.unlink(),
            }
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
            if self.work(ready, batch) {
                return Some(self.after_turn(ready.token.index(), batch));
            }
        }
        while let Some(index) = self.due.pop() {
            let site = Site { poller: &self.poller, index };
            if let Some(Entry::Channel(channel)) = self.entries.get_mut(index) {
                channel.on_time(site, Instant::now(), &mut self.shared, batch);
                return Some(self.after_turn(index, batch));
            }
        }
        self.arm_accepted();
        None
    }

    /// Works off one readiness; whether somebody was there for it.
    fn work(&mut self, ready: Ready, batch: &mut Batch<'_>) -> bool {
        let index = ready.token.index();
        let site = Site { poller: &self.poller, index };
        match (self.entries.get_mut(index), ready.token) {
            (None, _) | (_, Token::Timer | Token::Newsroom) => return false,
            (Some(Entry::Channel(channel)), Token::Channel(_)) => {
                channel.on_ready(site, ready.flags, &mut self.shared, batch);
            }
            (Some(Entry::Channel(channel)), Token::News(_)) => channel.on_news(site, batch),
            (Some(Entry::Channel(channel)), Token::Receiver { lane, .. }) => {
                channel.on_receiver(site, lane, batch);
            }
            (Some(Entry::Listening(_)), _) => self.accept(index, batch),
        }
        true
    }

    /// Who is told of a connection mostly wants its messages at once: it is polled for both, once.
    fn arm_accepted(&mut self) {
        while let Some(index) = self.accepted.pop() {
            // Without being polled its end is noticed when somebody reads.
            let _ = self.arm(index);
        }
    }

    fn channel_mut(&mut self, index: usize) -> Option<&mut Channel> {
        match self.entries.get_mut(index)? {
            Entry::Channel(channel) => Some(channel),
            Entry::Listening(_) => None,
        }
    }

    fn arm(&mut self, index: usize) -> Result<(), Errno> {
        match self.entries.get_mut(index) {
            Some(Entry::Channel(channel)) => channel.arm(Site { poller: &self.poller, index }),
            Some(Entry::Listening(listening)) => listening.arm(&self.poller, index),
            None => Ok(()),
        }
    }

    fn with(&mut self, index: usize, change: impl FnOnce(&mut Channel)) -> Result<(), Errno> {
        let Some(channel) = self.channel_mut(index) else { return Ok(()) };
        change(channel);
        let armed = self.arm(index);
        self.schedule(index);
        armed
    }

    fn after_turn(&mut self, index: usize, batch: &mut Batch<'_>) -> usize {
        if let Err(errno) = self.arm(index) {
            batch.events.push(Event::Failed(errno, "epoll_ctl"));
        }
        // One whose turn was full goes on when the caller's loop has seen to everything else.
        self.schedule(index);
        index
    }

    /// Sees to it that the channel's next deadline is met.
    fn schedule(&mut self, index: usize) {
        let Some(channel) = self.channel_mut(index) else { return };
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
            if let Some(Entry::Channel(channel)) = self.entries.get_mut(index) {
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
