//! What one turn of a channel hands over: messages in a slab, and what happened beside them.
//!
//! ```text
//! slab   | [ | message 0 | , | message 1 | , | message 2 | ] |   room   | names of senders |
//!        ^ the bytes between the messages are ours: join() writes them, so that the whole
//!          turn is one JSON array
//! ```

use std::io::IoSliceMut;
use std::num::NonZeroU32;
use std::ops::Range;
use std::os::fd::OwnedFd;

use fdwire_socket::{Address, Credentials, Errno};
use fdwire_wire::codec::{Kind, Lost};
use fdwire_wire::{Malformed, Text, json};

/// The room a turn needs at least for the next datagram (bytes): the largest that the kernel's
/// default send buffer lets through (212,960), rounded up.
pub const ROOM: usize = 213_000;

/// The part of the slab that is kept for the names of senders (bytes).
pub const NAMES: usize = 32 * 1024;

/// The most events of one turn.
pub const MAX_EVENTS: usize = 4_096;

/// The most descriptors of one turn.
pub const MAX_FDS: usize = 2_048;

/// Batches whose messages are longer than this on average (bytes) gain nothing by joining.
const JOIN_BELOW: usize = 128;

/// The longest name of a sender (bytes).
const NAME: usize = 108;

/// How many bytes of a message that can't be delivered are shown.
pub(crate) const SAMPLE: usize = 32;

/// How the bytes of a message are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// A text, all of it below 0x80.
    Ascii,
    /// A text in UTF-8.
    Utf8,
    /// Bytes.
    Bytes,
}

impl From<Text> for Reading {
    fn from(text: Text) -> Self {
        match text {
            Text::Ascii => Self::Ascii,
            Text::Utf8 => Self::Utf8,
        }
    }
}

impl From<Kind> for Reading {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Text(text) => text.into(),
            Kind::Bytes => Self::Bytes,
        }
    }
}

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

/// What is known of a message beside its bytes.
#[derive(Debug)]
pub struct Arrival {
    /// How its bytes are to be read.
    pub reading: Reading,
    /// How many messages from this one on are joined into one JSON array; 0 for none.
    pub joined: usize,
    /// Its descriptors, in the batch's list.
    pub fds: Range<usize>,
    /// Who sent it.
    pub from: Sender,
    /// Where in the slab the sender's credentials stand, if the channel tells them.
    pub credentials: Option<NonZeroU32>,
}

/// Why a queued message was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenUp {
    /// The kernel refused it.
    Refused(Errno),
    /// It waited for longer than the send timeout.
    Expired,
}

/// A queued message that was given up.
#[derive(Debug)]
pub struct Undelivered {
    /// Why.
    pub why: GivenUp,
    /// The number under which it was queued.
    pub seq: u64,
    /// Where it should have gone (None: to the peer).
    pub to: Option<Address>,
}

/// One thing that happened to a channel.
#[derive(Debug)]
pub enum Event {
    /// A message stands here in the slab.
    Message(Range<usize>, Arrival),
    /// A message that is too large for the slab stands here in memory of its own.
    Large(Vec<u8>, Range<usize>, Arrival),
    /// A message was refused; its first bytes stand here in the slab.
    Refused(Refusal, Range<usize>, Sender),
    /// The queue for a destination (None: the peer) is empty again.
    Drained(Option<Address>),
    /// A queued message was given up.
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
    /// Whether the texts are JSON, so that they may be joined.
    pub(crate) json: bool,
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
        Self { slab, used: 1, names, json: false, events, fds }
    }

    /// Turns runs of small texts into JSON arrays, where that is exact: the first message of each says
    /// how many are `joined`, and its array goes from the byte before it to the one behind the last.
    ///
    /// A text that closes all its strings and brackets can't change the meaning of its neighbours,
    /// so if the array parses and has as many elements as there were messages, each is its own.
    pub fn join(&mut self) {
        let texts = self.events.len();
        if !self.json || texts < 2 || self.used > texts * JOIN_BELOW {
            return;
        }
        let mut first = 0;
        while first < texts {
            let run = self.joinable(first);
            if run >= 2 {
                self.join_run(first, run);
            }
            // Two arrays beside each other would need two bytes between them.
            first += run + 1;
        }
    }

    /// How many texts from `first` on can be read and joined in the same way.
    fn joinable(&self, first: usize) -> usize {
        let mut reading = None;
        let joinable = self.events[first..].iter().take_while(|event| match event {
            Event::Message(at, arrival) => {
                *reading.get_or_insert(arrival.reading) == arrival.reading
                    && arrival.reading != Reading::Bytes
                    && json::is_closed(&self.slab[at.clone()])
            }
            _ => false,
        });
        joinable.count()
    }

    fn join_run(&mut self, first: usize, run: usize) {
        let (mut end, mut border) = (None, b'[');
        for event in &mut self.events[first..first + run] {
            if let Event::Message(at, arrival) = event {
                // What stands between them was framing: a comma, and blanks.
                let gap = end.unwrap_or(at.start - 1)..at.start;
                self.slab[gap.clone()].fill(b' ');
                self.slab[gap.start] = border;
                arrival.joined = if end.is_none() { run } else { 0 };
                (end, border) = (Some(at.end), b',');
            }
        }
        if let Some(end) = end {
            self.slab[end] = b']';
        }
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
        // One byte stays free behind the message, for the comma or bracket of `join`.
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
