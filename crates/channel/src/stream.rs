//! The stream transport: both directions of a byte stream.
//!
//! | file | contents |
//! | --- | --- |
//! | `link.rs` | what transfers the bytes: a socket, or the caller |
//! | `inbox.rs`, `inbox/` | decodes bytes to messages |
//! | `message.rs` | delivers messages with their descriptors, or refuses them |
//! | `outbox.rs`, `outbox/` | queues framed messages until the kernel accepts them |
//! | `ready.rs` | handles the readiness of the socket |
//! | `segment.rs` | the memory of the outbox |

mod inbox;
mod link;
mod message;
mod outbox;
mod ready;
mod segment;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Instant;

use fdwire_socket::{Errno, Stream};
use fdwire_wire::codec::{Codec, Encoded, Unframeable};

use crate::batch::{Batch, Event};
use crate::limits::{Activity, Counters, Limits, Meter};
use crate::poll::EventFlags;
use crate::send::{Queued, SendError, Sent};
use crate::{Site, Turn};
use inbox::Inbox;
pub(crate) use link::Link;
use outbox::Outbox;
pub use outbox::direct::DIRECT;
pub use outbox::{EXPANSION, FLUSH, OVERHEAD};
pub use segment::Payload;
pub(crate) use segment::SegmentPool;

/// How the messages of a stream are encoded.
#[derive(Clone, Debug)]
pub struct Framing {
    /// The codec of the protocol.
    pub codec: Codec,
    /// Whether payloads are text.
    pub text: bool,
    /// Whether texts are JSON.
    pub json: bool,
}

/// A byte stream with the state of its two directions.
pub(crate) struct StreamTransport {
    inbox: Inbox,
    pub(crate) outbox: Outbox,
    link: Link,
    input: Input,
    output: Output,
    /// Whether it is in the reactor's list of streams to flush.
    pub(crate) flush_listed: bool,
    /// Whether it is in the reactor's list of streams whose queue a flush has not emptied.
    pub(crate) backlog_listed: bool,
}

/// The state of the receiving direction until the inbox has ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Input {
    /// Not connected yet.
    Connecting,
    Open,
    /// The peer has ended the stream, but there is unread input before the end.
    EndPending,
    /// Input is discarded.
    Discarding,
}

/// The state of the sending direction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Output {
    Open,
    /// To be shut down as soon as the queue is empty.
    Finishing,
    /// Shut down by us.
    Finished,
    /// Nothing can be sent. The error is reported after the input that the peer has sent.
    Broken {
        errno: Errno,
        turns: u8,
    },
    /// The error has been reported, and the socket is no longer polled.
    Failed,
}

impl Output {
    fn is_broken(self) -> bool {
        matches!(self, Self::Broken { .. } | Self::Failed)
    }
}

impl StreamTransport {
    pub(crate) fn new(
        link: Link,
        connecting: bool,
        framing: Framing,
        pool: Rc<SegmentPool>,
    ) -> Self {
        Self {
            inbox: Inbox::new(framing.codec, framing.text),
            outbox: Outbox::new(pool),
            link,
            input: if connecting { Input::Connecting } else { Input::Open },
            output: Output::Open,
            flush_listed: false,
            backlog_listed: false,
        }
    }

    /// Prepares the socket for its first receive.
    pub(crate) fn prepare_to_receive(&self, limits: &Limits) {
        if let Some(socket) = self.socket() {
            socket.prepare_to_receive(limits.refuses_fds());
        }
    }

    pub(crate) fn socket(&self) -> Option<&Stream> {
        self.link.socket()
    }

    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.socket().map(AsFd::as_fd)
    }

    pub(crate) fn into_socket(self) -> Option<Stream> {
        match self.link {
            Link::Socket(socket) => Some(socket),
            Link::External { .. } | Link::Disconnected => None,
        }
    }

    pub(crate) fn into_fd(self) -> Option<OwnedFd> {
        self.into_socket().map(Stream::into_fd)
    }

    pub(crate) fn unlink(&mut self) {
        if let Link::Socket(socket) = &mut self.link {
            socket.unlink();
        }
    }

    pub(crate) fn is_connected(&self) -> bool {
        true
    }

    pub(crate) fn queued(&self) -> Queued {
        self.outbox.queued()
    }

    pub(crate) fn seqs(&self) -> (Option<u64>, u64) {
        self.outbox.seqs()
    }

    /// Returns whether nothing more is received.
    pub(crate) fn input_ended(&self) -> bool {
        self.inbox.ended()
    }

    /// Returns what has moved so far.
    pub(crate) fn activity(&self, counters: &Counters) -> Activity {
        let (messages, bytes) = self.inbox.progress(counters);
        // What a full turn has left is whole, as far as is known.
        let begun = self.buffered_input() > 0 && !self.inbox.has_undecoded();
        let message = begun.then_some(messages);
        Activity { received: (messages, bytes), sent: self.outbox.taken(), message }
    }

    /// Returns the number of sent bytes that the peer has not received, including the kernel's
    /// overhead.
    pub(crate) fn in_transit(&self) -> usize {
        self.socket().and_then(|socket| socket.unsent().ok()).unwrap_or(0)
    }

    pub(crate) fn take_settled(&mut self) -> bool {
        self.outbox.take_settled()
    }

    /// Returns the number of bytes that were read but do not form a complete message yet.
    pub(crate) fn buffered_input(&self) -> usize {
        self.inbox.buffered()
    }

    pub(crate) fn desired(&self, reads: bool) -> EventFlags {
        let mut flags = EventFlags::empty();
        if self.output == Output::Failed {
            return flags;
        }
        let reads = reads || self.input == Input::Discarding;
        let open = !self.inbox.ended();
        flags.set(EventFlags::IN, reads && open);
        // The end is detected even without read interest.
        flags.set(EventFlags::RDHUP, open && (reads || self.input != Input::EndPending));
        let writes = self.outbox.wants_writable() || self.output.is_broken();
        flags.set(EventFlags::OUT, writes || self.input == Input::Connecting);
        flags
    }

    /// Returns whether something is queued until the peer, or the caller of an external link, takes
    /// more.
    pub(crate) fn waits_for_peer(&self) -> bool {
        match self.link {
            Link::External { .. } => !self.outbox.is_empty(),
            Link::Socket(_) | Link::Disconnected => self.outbox.wants_writable(),
        }
    }

    pub(crate) fn send(
        &mut self,
        limits: &Limits,
        payload: Payload<'_>,
        text: bool,
        fds: &[BorrowedFd<'_>],
    ) -> Result<Sent, SendError> {
        self.outbox.send(&self.link, self.inbox.codec(), limits, payload, text, fds)
    }

    /// Queues small messages; see [`Outbox::gather`].
    pub(crate) fn gather<'a>(
        &mut self,
        messages: impl Iterator<Item = (&'a [u8], bool)>,
        total: &mut Encoded,
    ) -> Result<(), SendError> {
        self.outbox.gather(self.inbox.codec(), messages, total)
    }

    /// Checks that the protocol can carry a payload.
    pub(crate) fn check_frame(&self, payload: &[u8]) -> Result<(), Unframeable> {
        self.inbox.codec().frame(payload, true).map(drop)
    }

    /// Returns memory to append a short text to, and the number of bytes to skip; see
    /// [`Outbox::begin_text`].
    #[inline]
    pub(crate) fn begin_text(&mut self, limits: &Limits) -> Option<(&mut Vec<u8>, usize)> {
        let headroom = self.outbox.headroom();
        self.outbox.begin_text(limits).map(|memory| (memory, headroom))
    }

    /// Sends the text that was appended to that memory.
    #[inline]
    pub(crate) fn finish_text(&mut self, limits: &Limits, start: usize) -> Result<Sent, SendError> {
        self.outbox.finish_text(&self.link, self.inbox.codec(), limits, start, true)
    }

    /// Returns whether the reactor must add the stream to its list of streams to flush.
    #[inline]
    pub(crate) fn list_for_flush(&mut self) -> bool {
        // This includes a message that the kernel has accepted only in part. The rest may be below
        // the high-water mark, and then only the flush registers for writability.
        let unlisted = !self.outbox.is_empty() && !self.flush_listed;
        self.flush_listed |= unlisted;
        unlisted
    }

    /// Returns whether the reactor must add the stream to its list of streams with a backlog.
    pub(crate) fn list_for_backlog(&mut self) -> bool {
        let unlisted = !self.outbox.is_empty() && !self.backlog_listed;
        self.backlog_listed |= unlisted;
        unlisted
    }

    /// Sends from the queue until the kernel accepts no more.
    pub(crate) fn flush(&mut self) {
        self.flush_listed = false;
        if !self.output.is_broken() {
            self.outbox.flush_quietly(&self.link);
            self.finish_if_drained();
        }
    }

    pub(crate) fn try_all(&mut self, _: Site<'_>, _: &mut Meter) {
        self.flush();
    }

    /// Half-closes the stream as soon as the queue is empty.
    pub(crate) fn finish(&mut self) {
        self.outbox.note_finish();
        if self.output == Output::Open {
            self.output = Output::Finishing;
        }
        self.flush();
    }

    /// Drops the connection and closes the socket. With `keep` the queued messages stay, except one
    /// that was sent in part. Returns the sequence numbers of the dropped messages.
    pub(crate) fn disconnect(&mut self, keep: bool) -> Vec<u64> {
        self.link = Link::Disconnected;
        self.inbox.drop_rest();
        if self.output != Output::Finished {
            // What broke the output concerned the connection.
            let finishes = self.outbox.finishes();
            self.output = if finishes { Output::Finishing } else { Output::Open };
        }
        self.outbox.disconnect(keep)
    }

    /// Replaces the lost connection by that of `other`, which is new. The queue stays.
    pub(crate) fn reconnect(&mut self, other: Self) {
        (self.link, self.inbox, self.input) = (other.link, other.inbox, other.input);
        self.flush();
    }

    /// Discards input from now on, until the peer ends.
    pub(crate) fn discard(&mut self) {
        if !self.inbox.ended() {
            self.input = Input::Discarding;
        }
    }

    /// Returns whether a turn would have an event although the socket is not ready. `reads`:
    /// whether to read messages.
    pub(crate) fn is_due(&self, reads: bool) -> bool {
        if self.inbox.has_undecoded() {
            return reads;
        }
        // The end is detected even without read interest.
        matches!(self.link, Link::External { ended: true }) && !self.inbox.ended()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        // A broken output retries nothing.
        self.outbox.deadline().filter(|_| !self.output.is_broken())
    }

    /// Retries to send if a retry is due, and decodes what a full turn has left.
    pub(crate) fn on_deadline(
        &mut self,
        now: Instant,
        reads: bool,
        meter: &mut Meter,
        turn: &mut Turn<'_, '_>,
    ) {
        if self.outbox.deadline().is_some_and(|at| at <= now) {
            self.on_writable(meter, turn.batch);
        } else {
            self.report_drained(meter, turn.batch);
        }
        if self.is_due(reads) {
            self.read(meter, turn.shared, turn.batch);
        }
    }

    /// Adds input from the caller. None ends the input.
    pub(crate) fn feed(&mut self, bytes: Option<&[u8]>) {
        match (bytes, &mut self.link) {
            (Some(bytes), _) => self.inbox.feed(bytes),
            (None, Link::External { ended }) => *ended = true,
            (None, Link::Socket(_) | Link::Disconnected) => {}
        }
    }

    fn report_drained(&mut self, meter: &Meter, batch: &mut Batch<'_>) {
        if self.outbox.take_drained(&meter.limits) {
            batch.events.push(Event::Drained(None));
        }
    }

    fn finish_if_drained(&mut self) {
        if self.output == Output::Finishing
            && self.outbox.is_empty()
            && let Some(socket) = self.link.socket()
        {
            self.output = Output::Finished;
            // This fails if the peer has closed already, in which case no half-close is needed.
            let _ = socket.shutdown_send();
        }
    }
}
