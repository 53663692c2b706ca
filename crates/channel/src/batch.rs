//! The result of one turn of a channel: messages in a slab, and the other events.
//!
//! ```text
//! slab   | . | message 0 | . | message 1 | . | message 2 | . |   free   | names of senders |
//! ```
//!
//! Layout guarantee: the messages lie in the slab in the order of their events, and at least one byte
//! before and behind each of them belongs to no message, name or sample. The owner of the slab may
//! overwrite these bytes, once the turn is over: the addon writes brackets and commas there.

use std::io::IoSliceMut;
use std::num::NonZeroU32;
use std::ops::Range;
use std::os::fd::OwnedFd;

use fdwire_socket::{Address, Credentials, Errno};
use fdwire_wire::Malformed;
use fdwire_wire::codec::Lost;

use crate::PayloadKind;

/// The room a turn needs at least for the next datagram (bytes): the largest that the kernel's
/// default send buffer lets through (212,960), rounded up.
pub const ROOM: usize = 213_000;

/// The part of the slab that is kept for the names of senders (bytes).
pub const NAMES: usize = 32 * 1024;

/// The most events of one turn.
pub const MAX_EVENTS: usize = 4_096;

/// The most descriptors of one turn.
pub const MAX_FDS: usize = 2_048;

/// The longest name of a sender (bytes).
const NAME: usize = 108;

/// How many bytes of a message that can't be delivered are shown.
pub(crate) const SAMPLE: usize = 32;

/// Why a message was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its bytes are none of the protocol's.
    Malformed(Malformed),
    /// It is larger than the channel's limit.
    TooLarge,
    /// It came with more descriptors than the channel allows.
    TooManyFds,
    /// The kernel could not install all of its descriptors.
    FdsTruncated,
    /// It should be in a file in memory, and what came is none, or was changed while it was read.
    NoMemoryFile,
}

/// Who sent a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The one peer of a connected socket.
    Peer,
    /// A socket without a name.
    Unnamed,
    /// The same as the message before on this channel.
    Same,
    /// The name that stands here in the slab.
    Name(Range<usize>),
}

/// A received message, beside its payload.
#[derive(Debug)]
pub struct Message {
    /// What the payload is.
    pub kind: PayloadKind,
    /// The indices of its descriptors in [`Batch::fds`].
    pub fds: Range<usize>,
    /// Who sent it.
    pub from: Sender,
    /// The place of the sender's credentials in the slab, if the channel receives them.
    pub credentials: Option<NonZeroU32>,
}

/// Why a queued message could not be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UndeliveredReason {
    /// The kernel refused it with this error.
    Refused(Errno),
    /// It was queued for longer than the send timeout.
    Expired,
}

/// A queued message that could not be delivered.
#[derive(Debug)]
pub struct Undelivered {
    /// Why.
    pub reason: UndeliveredReason,
    /// The number under which it was queued.
    pub seq: u64,
    /// Its destination; None for the peer.
    pub to: Option<Address>,
}

/// One thing that happened to a channel.
#[derive(Debug)]
pub enum Event {
    /// A message whose payload is this range of the slab.
    Message(Range<usize>, Message),
    /// A message that is too large for the slab: its payload is this range of memory of its own.
    Large(Vec<u8>, Range<usize>, Message),
    /// A message was refused; its first bytes stand here in the slab.
    Refused(Refusal, Range<usize>, Sender),
    /// The queue for a destination (None: the peer) is empty again.
    Drained(Option<Address>),
    /// A queued message could not be delivered.
    Undelivered(Undelivered),
    /// Queued messages were settled, and somebody waits for that.
    Progress,
    /// Reading stopped: the channel's limit of open descriptors is reached.
    FdsHeld,
    /// The connection is made.
    Connected,
    /// A listener has a connection: the channel with this index.
    Accepted(usize),
    /// The peer has ended, and all that it sent was told.
    End,
    /// The peer has ended inside of a frame, to whose end this many bytes are missing at least.
    Cut(usize),
    /// Nothing more can be understood of the stream; the bytes where that is stand here in the slab.
    Lost(Lost, Range<usize>),
    /// The socket can't be used any more: this call failed.
    Failed(Errno, &'static str),
}

/// The memory of one turn: borrowed slab, events and descriptors that nobody owns yet.
pub struct Batch<'a> {
    slab: &'a mut [u8],
    used: usize,
    names: usize,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// The descriptors of the messages, in order.
    pub fds: Vec<OwnedFd>,
}

impl<'a> Batch<'a> {
    /// A batch over `slab`, which holds at least `ROOM + NAMES` bytes; the two lists are emptied and
    /// used again.
    pub fn new(slab: &'a mut [u8], mut events: Vec<Event>, mut fds: Vec<OwnedFd>) -> Self {
        events.clear();
        fds.clear();
        let names = slab.len().saturating_sub(NAMES);
        Self { slab, used: 1, names, events, fds }
    }

    /// The number of bytes from the beginning of the slab that hold messages.
    pub fn used(&self) -> usize {
        self.used
    }

    /// The bytes at `range`.
    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.slab[range]
    }

    /// Whether one more message of ordinary size fits.
    pub(crate) fn has_room(&self) -> bool {
        self.used + ROOM <= self.slab.len() - NAMES && self.has_place()
    }

    /// Whether one more event can be told, with all that may come with it.
    pub(crate) fn has_place(&self) -> bool {
        self.names + SAMPLE + NAME + Credentials::LEN <= self.slab.len()
            // A stream's end takes two: what is left of it, and the end.
            && self.events.len() + 2 <= MAX_EVENTS
            && self.fds.len() + fdwire_socket::MAX_FDS <= MAX_FDS
    }

    /// The free part of the slab, at most `limit` bytes of it.
    pub(crate) fn room(&mut self, limit: usize) -> IoSliceMut<'_> {
        // The byte behind the message stays free.
        let end = self.slab.len() - NAMES - 1;
        let end = end.min(self.used.saturating_add(limit));
        IoSliceMut::new(&mut self.slab[self.used..end])
    }

    /// The free part of the slab behind the first `kept` bytes of it.
    pub(crate) fn room_behind(&mut self, kept: usize) -> &mut [u8] {
        let end = self.slab.len() - NAMES - 1;
        &mut self.slab[self.used + kept..end]
    }

    /// The bytes at `range` of the free part, which have been read into it.
    pub(crate) fn unread(&mut self, range: Range<usize>) -> &mut [u8] {
        &mut self.slab[self.used + range.start..self.used + range.end]
    }

    /// The place in the slab of `range` of the free part.
    pub(crate) fn place(&self, range: &Range<usize>) -> Range<usize> {
        self.used + range.start..self.used + range.end
    }

    /// The first `len` bytes of the free part hold messages now.
    pub(crate) fn advance(&mut self, len: usize) {
        self.used += len;
    }

    /// Keeps a copy of the first bytes of this place in the slab.
    pub(crate) fn keep_sample_at(&mut self, at: Range<usize>) -> Range<usize> {
        let len = at.len().min(SAMPLE);
        let kept = self.names..self.names + len;
        self.slab.copy_within(at.start..at.start + len, kept.start);
        self.names = kept.end;
        kept
    }

    /// Keeps a copy of the first of these bytes, which stand elsewhere.
    pub(crate) fn keep_sample_of(&mut self, bytes: &[u8]) -> Range<usize> {
        let shown = &bytes[..bytes.len().min(SAMPLE)];
        self.keep_name(shown)
    }

    /// The first `len` bytes of the room, before they are kept.
    pub(crate) fn received(&self, len: usize) -> &[u8] {
        &self.slab[self.used..self.used + len]
    }

    /// Keeps the first `len` bytes of the room as a message.
    pub(crate) fn keep(&mut self, len: usize) -> Range<usize> {
        let at = self.used..self.used + len;
        self.used = at.end + 1;
        at
    }

    /// Keeps a copy of a sender's name.
    pub(crate) fn keep_name(&mut self, name: &[u8]) -> Range<usize> {
        let at = self.names..self.names + name.len();
        self.slab[at.clone()].copy_from_slice(name);
        self.names = at.end;
        at
    }

    /// Keeps the credentials of a sender; where they stand.
    pub(crate) fn keep_credentials(&mut self, credentials: Credentials) -> Option<NonZeroU32> {
        let at = self.keep_name(&credentials.to_bytes());
        NonZeroU32::new(u32::try_from(at.start).ok()?)
    }

    /// Keeps a copy of the first bytes of the room, which the next message will overwrite.
    pub(crate) fn keep_sample(&mut self, len: usize) -> Range<usize> {
        self.keep_sample_at(self.used..self.used + len)
    }
}
