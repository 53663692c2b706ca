//! All channels and listeners of an environment.
//!
//! A turn handles the readiness of one channel, and puts the events into a batch. The caller
//! handles the batch before the next turn, and may change any channel in between.
//!
//! | file | contents |
//! | --- | --- |
//! | `turns.rs` | chooses the channel of the next turn |
//! | `timers.rs` | the deadlines of the channels |
//! | `stays.rs` | whether to poll for messages instead of waiting |
//! | `streams.rs` | the calls that concern streams |
//! | `connections.rs` | connections that are lost and replaced |
//! | `listeners.rs` | listeners and accepted connections |
//! | `watched.rs` | descriptors that are only watched |
//! | `refusals.rs` | registrations that epoll_ctl has refused |

mod connections;
mod listeners;
mod refusals;
mod stays;
mod streams;
mod timers;
mod turns;
mod watched;

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::rc::Rc;
use std::time::Instant;

use fdwire_socket::{Address, Control, Errno, ForeignFd, closing};
use slab::Slab;

use crate::channel::Channel;
use crate::limits::Limits;
use crate::listener::Listening;
use crate::poll::{Poller, Ready};
use crate::send::{SendError, Sent};
use crate::stream::{Payload, SegmentPool};
use crate::{Scratch, Shared, Site};
use refusals::RefusedRegistration;
use stays::Stay;
use turns::Lone;

/// The channels and listeners of one environment.
pub struct Reactor {
    poller: Poller,
    entries: Slab<Entry>,
    shared: Shared,
    pool: Rc<SegmentPool>,
    /// The limits of the channel that was added last, to be shared with the next one if equal.
    last_limits: Option<Rc<Limits>>,
    /// The readiness that has not been handled yet, in reverse order.
    ready: Vec<Ready>,
    lone: Option<Lone>,
    /// Whether `ready` holds an assumption instead of what epoll has reported.
    assumed: bool,
    /// Channels that need a turn although their descriptors are not ready.
    due: Vec<usize>,
    deadlines: BTreeSet<(Instant, usize)>,
    /// The channels and listeners that epoll_ctl has refused to register.
    refused: BTreeMap<usize, RefusedRegistration>,
    /// Streams with queued frames to be flushed.
    unflushed: Vec<usize>,
    /// Streams whose queue a flush has not emptied. It may have emptied since.
    backlog: Vec<usize>,
    /// Channels that were accepted or connected but are not registered with epoll yet.
    unarmed: Vec<usize>,
    stay: Stay,
    /// Whether a channel with busy polling has been added.
    busy_polling: bool,
}

enum Entry {
    Channel(Box<Channel>),
    Listening(Box<Listening>),
    Watched(ForeignFd),
}

impl Reactor {
    /// Creates a reactor without channels.
    ///
    /// # Errors
    ///
    /// `EMFILE`, `ENFILE`, `ENOMEM` of epoll_create1, timerfd_create and socket.
    pub fn new() -> Result<Self, Errno> {
        closing::prepare()?;
        Ok(Self {
            poller: Poller::new()?,
            entries: Slab::new(),
            shared: Shared {
                control: Control::new(),
                received: Vec::new(),
                from: Address::UNNAMED,
                scratch: Scratch::default(),
            },
            pool: Rc::default(),
            last_limits: None,
            ready: Vec::new(),
            lone: None,
            assumed: false,
            due: Vec::new(),
            deadlines: BTreeSet::new(),
            refused: BTreeMap::new(),
            unflushed: Vec::new(),
            backlog: Vec::new(),
            unarmed: Vec::new(),
            stay: Stay::default(),
            busy_polling: false,
        })
    }

    /// Adds a channel, and polls a connection for its end. Returns its index.
    pub fn add(&mut self, channel: Channel) -> usize {
        let index = self.insert(channel);
        self.arm(index);
        index
    }

    /// Adds a channel that is not polled yet, and returns its index.
    fn insert(&mut self, mut channel: Channel) -> usize {
        channel.share_limits(&mut self.last_limits);
        self.busy_polling |= channel.busy_poll.is_some();
        self.entries.insert(Entry::Channel(Box::new(channel)))
    }

    /// Returns the channel at `index`.
    pub fn channel(&self, index: usize) -> Option<&Channel> {
        match self.entries.get(index)? {
            Entry::Channel(channel) => Some(channel),
            Entry::Listening(_) | Entry::Watched(_) => None,
        }
    }

    /// Returns whether a channel or listener owns the descriptor with this number.
    pub fn has_fd(&self, number: i32) -> bool {
        self.entries.iter().any(|(_, entry)| match entry {
            Entry::Channel(channel) => channel.owns(number),
            Entry::Listening(listening) => listening.fd().as_raw_fd() == number,
            Entry::Watched(fd) => fd.as_raw_fd() == number,
        })
    }

    /// Returns a pidfd of the peer of a channel. The channel owns it.
    ///
    /// # Errors
    ///
    /// `EBADF` if there is no such channel, and those of [`peer_pidfd`](fdwire_socket::peer_pidfd).
    pub fn peer_pidfd(&mut self, index: usize) -> Result<BorrowedFd<'_>, Errno> {
        self.channel_mut(index).ok_or(Errno::BADF)?.peer_pidfd()
    }

    /// Removes a channel. Dropping it closes its socket.
    pub fn remove(&mut self, index: usize) -> Option<Channel> {
        let (poller, entries) = (&self.poller, &mut self.entries);
        let Some(Entry::Channel(channel)) = entries.get_mut(index) else { return None };
        channel.disarm(Site { poller, index });
        if let Some(at) = channel.scheduled.take() {
            self.deadlines.remove(&(at, index));
        }
        match self.remove_entry(index) {
            Entry::Channel(channel) => Some(*channel),
            Entry::Listening(_) | Entry::Watched(_) => None,
        }
    }

    /// Removes an entry that is no longer registered with epoll. Another one may get its index, and must
    /// get neither its readiness nor the assumptions about it.
    ///
    /// Its index stays in the lists of channels that need a turn, a flush or a registration, and may
    /// stay among the deadlines. Whatever has the index then is looked at once more.
    fn remove_entry(&mut self, index: usize) -> Entry {
        self.ready.retain(|ready| ready.token.index() != index);
        self.lone.take_if(|lone| lone.is(index));
        self.refused.remove(&index);
        self.leave_stay(index);
        self.entries.remove(index)
    }

    /// Sets the read interest of a channel: whether its owner accepts messages.
    pub fn set_reading(&mut self, index: usize, reading: bool) {
        self.update(index, |channel| channel.set_reading(reading));
    }

    /// Sets whether the owner of a channel is occupied with messages of the peer, which stops the
    /// clocks of its deadlines.
    pub fn set_busy(&mut self, index: usize, busy: bool) {
        self.update(index, |channel| channel.set_busy(busy));
    }

    /// Makes an event report, once, that the connection is shut down in both directions
    /// (`EPOLLHUP`): the peer has closed it, or it was reset. A peer that only half-closes it still
    /// receives. The event comes even if the input has ended before. Datagram sockets have none.
    pub fn watch_hang_up(&mut self, index: usize) {
        self.update(index, Channel::watch_hang_up);
    }

    /// Sets whether [`Progress`](crate::Event::Progress) events report that queued messages were
    /// sent or dropped.
    pub fn set_reports_progress(&mut self, index: usize, reports: bool) {
        if let Some(channel) = self.channel_mut(index) {
            channel.set_reports_progress(reports);
        }
    }

    /// Counts a received message of a channel as malformed, because its receiver could not decode
    /// it.
    pub fn count_malformed(&mut self, index: usize, bytes: usize, fds: usize) {
        if let Some(channel) = self.channel_mut(index) {
            channel.count_malformed(bytes, fds);
        }
    }

    /// Records that `fds` received descriptors of a channel were taken or closed.
    pub fn released(&mut self, index: usize, fds: usize) {
        let Some(channel) = self.channel_mut(index) else { return };
        if channel.released(fds) {
            self.update(index, |_| ());
        }
    }

    /// Sends a message to the peer, or to `to` on a channel without a peer.
    ///
    /// On a stream, small messages are queued until [`flush`](Self::flush), or until more than the
    /// high-water mark is queued. `text` is whether the payload is text, which some protocols
    /// encode.
    ///
    /// # Errors
    ///
    /// [`SendError`] if the message was not accepted. Nothing of it is queued then.
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
        match channel.send(site, payload, text, fds, to) {
            Ok((sent, unlisted)) => {
                self.after_send(index, sent, unlisted);
                Ok(sent)
            }
            Err(error) => {
                // Room was made for the message, or an attempt was made to send those before it.
                self.update(index, |_| ());
                Err(error)
            }
        }
    }

    #[inline]
    fn after_send(&mut self, index: usize, sent: Sent, unlisted: bool) {
        if unlisted {
            self.unflushed.push(index);
        }
        match sent {
            Sent::Queued(_) => {
                self.arm(index);
                self.schedule(index);
            }
            // The message is with the kernel, or the flush of a stream will send it.
            Sent::Now => self.poll_for_reply(index),
        }
    }

    /// Makes one attempt to send everything that is queued on any channel, because the process
    /// exits.
    pub fn try_all(&mut self) {
        for (index, entry) in &mut self.entries {
            if let Entry::Channel(channel) = entry {
                channel.try_all(Site { poller: &self.poller, index });
            }
        }
    }

    /// Removes the paths that channels and listeners have bound. The sockets stay open.
    pub fn unlink_all(&mut self) {
        for (_, entry) in &mut self.entries {
            match entry {
                Entry::Channel(channel) => channel.unlink(),
                Entry::Listening(listening) => listening.unlink(),
                Entry::Watched(_) => {}
            }
        }
    }

    fn channel_mut(&mut self, index: usize) -> Option<&mut Channel> {
        match self.entries.get_mut(index)? {
            Entry::Channel(channel) => Some(channel),
            Entry::Listening(_) | Entry::Watched(_) => None,
        }
    }

    /// Changes a channel, and registers the readiness that it then waits for.
    fn update(&mut self, index: usize, change: impl FnOnce(&mut Channel)) {
        let Some(channel) = self.channel_mut(index) else { return };
        change(channel);
        self.arm(index);
        self.schedule(index);
    }
}

impl AsFd for Reactor {
    /// Returns the descriptor that is readable when a channel is ready.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poller.as_fd()
    }
}
