//! The result of one turn of a channel: messages in a slab, and the other events.
//!
//! ```text
//! slab   | . | message 0 | . | message 1 | . | message 2 | . |   free   | senders, samples |
//! ```
//!
//! Layout guarantee: the messages are in the slab in the order of their events, and at least one
//! byte before and after each message belongs to no message, address or sample. The owner of the
//! slab may overwrite these bytes after the turn: the addon writes brackets and commas there.

use std::io::IoSliceMut;
use std::num::NonZeroU32;
use std::ops::Range;

use fdwire_socket::{Address, Credentials, Errno, ForeignFd};
use fdwire_wire::Malformed;
use fdwire_wire::codec::Lost;

use crate::PayloadKind;

/// Number of free bytes that a turn needs before it receives: the largest datagram that the
/// kernel's default send buffer allows (212,960 bytes), rounded up.
pub const ROOM: usize = 213_000;

/// Size in bytes of the end of the slab, which holds addresses and credentials of senders, and
/// samples.
pub const NAMES: usize = 32 * 1024;

/// The offset in the slab at which messages begin.
///
/// A copy of many bytes (`rep movsb`) takes twice as long on current AMD processors if its
/// destination is up to 63 bytes after its source, modulo 4,096. V8 puts long strings at the start of
/// a page, as the allocator does the slab.
const FIRST: usize = 1_024;

/// Maximum number of events and plain messages of one turn.
pub const MAX_EVENTS: usize = 4_096;

/// Maximum number of descriptors of one turn.
pub const MAX_FDS: usize = 2_048;

/// Maximum length of a sample in bytes.
pub const SAMPLE: usize = 32;

/// Why a received message was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Its bytes are not a valid message of the protocol.
    Malformed(Malformed),
    /// It is larger than the channel's limit.
    TooLarge,
    /// It has more descriptors than the channel's limit.
    TooManyFds,
    /// The kernel could not install all of its descriptors.
    FdsTruncated,
    /// It announces a memfd, but its first descriptor is not one, or cannot be read.
    NoMemoryFile,
}

/// The sender of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The peer of a connected socket.
    Peer,
    /// A socket that is not bound.
    Unnamed,
    /// The sender of the previous message of this channel.
    Same,
    /// The socket whose address is in this range of the slab.
    Address(Range<usize>),
}

/// The properties of a received message.
#[derive(Debug)]
pub struct Message {
    /// What the payload is.
    pub kind: PayloadKind,
    /// The indices of its descriptors in [`Batch::fds`].
    pub fds: Range<usize>,
    /// Its sender.
    pub from: Sender,
    /// The offset of the sender's credentials in the slab, if the channel receives them.
    pub credentials: Option<NonZeroU32>,
}

/// Why a queued message could not be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UndeliveredReason {
    /// It was among the oldest of the longest queue when the queues of all destinations reached their
    /// limit.
    Evicted,
    /// The kernel refused it with this error.
    Refused(Errno),
    /// It was queued for longer than the send timeout.
    Expired,
}

/// A queued message that could not be delivered.
#[derive(Debug)]
pub struct Undelivered {
    /// Why it could not be delivered.
    pub reason: UndeliveredReason,
    /// Its sequence number.
    pub seq: u64,
    /// Its destination; None for the peer.
    pub to: Option<Address>,
}

/// The payload of a message in the slab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Where it begins.
    pub start: u32,
    /// Where it ends.
    pub end: u32,
    /// What it is.
    pub kind: PayloadKind,
}

impl Span {
    /// Returns its range in the slab.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A deadline of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deadline {
    /// No byte has moved in either direction for the idle timeout.
    Idle,
    /// A message has begun, and has not ended within the message timeout.
    Message,
}

/// An event of a channel or listener.
#[derive(Debug)]
pub enum Event {
    /// Plain messages, which are from the peer of a connected socket, without descriptors and
    /// credentials. Their payloads are this range of [`Batch::spans`].
    Messages(Range<usize>),
    /// A message that is not plain. Its payload has this index in [`Batch::spans`].
    Message(usize, Message),
    /// A message that is too large for the slab, with its payload in this range of the vector.
    Large(Vec<u8>, Range<usize>, Message),
    /// A message was refused. The range of the slab holds its first bytes as a sample.
    Refused(Refusal, Range<usize>, Sender),
    /// The queue of a destination (None: the peer) is empty again. On a stream: at most half of the
    /// high-water mark is queued.
    Drained(Option<Address>),
    /// A queued message could not be delivered.
    Undelivered(Undelivered),
    /// Queued messages were sent or dropped, and the channel reports progress.
    Progress,
    /// Reading has stopped at the channel's limit of open descriptors.
    FdsHeld,
    /// The stream is connected.
    Connected,
    /// A listener has accepted a connection: the channel with this index.
    Accepted(usize),
    /// A listener has accepted connections: the descriptors of this range of [`Batch::fds`].
    Connections(Range<usize>),
    /// A watched descriptor may be readable; whether its peer has ended the connection.
    Readable(bool),
    /// The peer has ended the connection. Everything that it has sent precedes this event.
    End,
    /// The peer has ended the connection within a frame, which lacks at least this many bytes.
    Cut(usize),
    /// The codec cannot find the next frame. The range of the slab holds the bytes at that point as
    /// a sample.
    Lost(Lost, Range<usize>),
    /// The connection is shut down in both directions, so nothing can be sent any more. Input may
    /// be unread.
    HungUp,
    /// A deadline has passed. The channel reports it once, and its owner removes it.
    Late(Deadline),
    /// The socket cannot be used any more: this system call failed.
    Failed(Errno, &'static str),
}

/// The memory of one turn: a borrowed slab, the events, and the descriptors of the messages.
pub struct Batch<'a> {
    slab: &'a mut [u8],
    /// The number of bytes at the start of the slab that hold messages, and the offset of the next
    /// one.
    used: usize,
    /// The offset in the slab of the next address or sample.
    names: usize,
    /// The events, in order.
    pub events: Vec<Event>,
    /// The payloads of the messages in the slab, in order.
    pub spans: Vec<Span>,
    /// The number of spans of plain messages, less that of the events which hold them.
    merged: usize,
    /// The maximum number of events of this turn. Each plain message counts as one event.
    pub(crate) limit: usize,
    /// The descriptors of the messages, in order.
    pub fds: Vec<ForeignFd>,
}

impl<'a> Batch<'a> {
    /// Creates a batch over `slab`, which must have at least `FIRST + ROOM + NAMES` bytes. Clears the
    /// vectors and reuses their memory.
    pub fn new(
        slab: &'a mut [u8],
        mut events: Vec<Event>,
        mut spans: Vec<Span>,
        mut fds: Vec<ForeignFd>,
    ) -> Self {
        events.clear();
        spans.clear();
        fds.clear();
        let names = slab.len().saturating_sub(NAMES);
        Self { slab, used: FIRST, names, events, spans, merged: 0, limit: MAX_EVENTS, fds }
    }

    /// Returns the number of bytes at the start of the slab that hold messages.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Returns the bytes of a range of the slab.
    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.slab[range]
    }

    /// Returns whether there is room to receive once more.
    pub(crate) fn has_room(&self) -> bool {
        self.used + ROOM <= self.slab.len() - NAMES && self.has_place()
    }

    /// Returns whether one more event fits, with its address, sample, credentials and descriptors.
    pub(crate) fn has_place(&self) -> bool {
        self.names + SAMPLE + Address::MAX_LEN + Credentials::LEN <= self.slab.len()
            // The end of a stream may be two events: a last message, and the end.
            && self.results() + 2 <= self.limit
            && self.fds.len() + fdwire_socket::MAX_FDS <= MAX_FDS
    }

    /// Returns the number of events. Each plain message counts as one event.
    pub fn results(&self) -> usize {
        self.events.len() + self.merged
    }

    /// Adds a plain message whose payload is in this range of the slab.
    #[inline]
    pub(crate) fn push_plain(&mut self, at: Range<usize>, kind: PayloadKind) {
        let index = self.push_span(at, kind);
        if let Some(Event::Messages(spans)) = self.events.last_mut() {
            spans.end += 1;
            self.merged += 1;
        } else {
            self.events.push(Event::Messages(index..index + 1));
        }
    }

    /// Adds a message that is not plain, whose payload is in this range of the slab.
    pub(crate) fn push_message(&mut self, at: Range<usize>, message: Message) {
        let index = self.push_span(at, message.kind);
        self.events.push(Event::Message(index, message));
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the slab is shorter than 4 GiB")]
    fn push_span(&mut self, at: Range<usize>, kind: PayloadKind) -> usize {
        self.spans.push(Span { start: at.start as u32, end: at.end as u32, kind });
        self.spans.len() - 1
    }

    /// Returns at most `limit` bytes of the free part of the slab.
    pub(crate) fn room(&mut self, limit: usize) -> IoSliceMut<'_> {
        // The byte after the message stays free.
        let end = self.slab.len() - NAMES - 1;
        let end = end.min(self.used.saturating_add(limit));
        IoSliceMut::new(&mut self.slab[self.used..end])
    }

    /// Returns the free part of the slab after its first `kept` bytes.
    pub(crate) fn room_after(&mut self, kept: usize) -> &mut [u8] {
        let end = self.slab.len() - NAMES - 1;
        &mut self.slab[self.used + kept..end]
    }

    /// Returns the bytes at `range` of the free part, which have been received but not decoded.
    pub(crate) fn undecoded(&mut self, range: Range<usize>) -> &mut [u8] {
        &mut self.slab[self.used + range.start..self.used + range.end]
    }

    /// Converts a range of the free part to a range of the slab.
    pub(crate) fn place(&self, range: &Range<usize>) -> Range<usize> {
        self.used + range.start..self.used + range.end
    }

    /// Marks the first `len` bytes of the free part as used by messages.
    pub(crate) fn advance(&mut self, len: usize) {
        self.used += len;
    }

    /// Copies the first bytes of a range of the slab as a sample, and returns the range of the
    /// copy.
    pub(crate) fn keep_sample_at(&mut self, at: Range<usize>) -> Range<usize> {
        let len = at.len().min(SAMPLE);
        let kept = self.names..self.names + len;
        self.slab.copy_within(at.start..at.start + len, kept.start);
        self.names = kept.end;
        kept
    }

    /// Stores the first of these bytes as a sample, and returns its range.
    pub(crate) fn keep_sample_of(&mut self, bytes: &[u8]) -> Range<usize> {
        let sample = &bytes[..bytes.len().min(SAMPLE)];
        self.store(sample)
    }

    /// Returns the first `len` bytes of the free part.
    pub(crate) fn received(&self, len: usize) -> &[u8] {
        &self.slab[self.used..self.used + len]
    }

    /// Marks the first `len` bytes of the free part as a message, and returns its range.
    pub(crate) fn keep(&mut self, len: usize) -> Range<usize> {
        let at = self.used..self.used + len;
        self.used = at.end + 1;
        at
    }

    /// Stores an address or a sample at the end of the slab, and returns its range.
    pub(crate) fn store(&mut self, bytes: &[u8]) -> Range<usize> {
        let at = self.names..self.names + bytes.len();
        self.slab[at.clone()].copy_from_slice(bytes);
        self.names = at.end;
        at
    }

    /// Stores the credentials of a sender, and returns their offset.
    pub(crate) fn keep_credentials(&mut self, credentials: Credentials) -> Option<NonZeroU32> {
        let at = self.store(&credentials.to_bytes());
        NonZeroU32::new(u32::try_from(at.start).ok()?)
    }

    /// Copies the first bytes of the free part as a sample, and returns the range of the copy.
    pub(crate) fn keep_sample(&mut self, len: usize) -> Range<usize> {
        self.keep_sample_at(self.used..self.used + len)
    }
}
