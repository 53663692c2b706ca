//! A stream with its two directions: a socket's, or one whose bytes somebody else carries.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `inbox.rs` | bytes become messages, or are refused |
//! | `message.rs` | messages with their descriptors, delivered or refused |
//! | `outbox.rs` | framed messages, until the kernel takes them |
//! | `segment.rs` | the memory of that |

mod inbox;
mod message;
mod outbox;
mod segment;

use std::io::IoSliceMut;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::time::Instant;

use fdwire_socket::{Errno, Stream};
use fdwire_wire::codec::{Codec, Unframeable};

use crate::Shared;
use crate::batch::{Batch, Event};
use crate::limits::{Limits, Meter};
use crate::poll::EventFlags;
use crate::send::{SendError, Sent};
use inbox::Inbox;
pub use outbox::DIRECT;
use outbox::Outbox;
pub use segment::Payload;
pub(crate) use segment::Spare;

/// Reads of one turn whose bytes are dropped, at the most.
const DISCARDS: usize = 16;

/// Turns in which what a peer that has gone had sent is read, though nobody wants it yet.
const LAST_TURNS: u32 = 64;

/// What a stream's messages are.
#[derive(Clone, Debug)]
pub struct Framing {
    /// The codec of its protocol.
    pub codec: Codec,
    /// Whether payloads are text.
    pub text: bool,
    /// Whether that is JSON.
    pub json: bool,
}

pub(crate) struct Streams {
    inbox: Inbox,
    pub(crate) outbox: Outbox,
    /// None: JavaScript carries the bytes.
    pub(crate) socket: Option<Stream>,
    state: State,
    /// Whether the peer is known to have ended, with something unread before that.
    gone: bool,
    /// Whether our side is to be shut down when the queue is empty.
    finishing: bool,
    /// Why nothing can be sent any more.
    broken: Option<Errno>,
    /// Turns that have read since.
    last_turns: u32,
    /// Whether that has been told: the socket is not looked at any more.
    failed: bool,
    /// Whether the reactor has it in its list of those to flush.
    pub(crate) listed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Connecting,
    Open,
    /// What comes is dropped.
    Discarding,
}

impl Streams {
    pub(crate) fn new(
        socket: Option<Stream>,
        connecting: bool,
        framing: Framing,
        spare: Rc<Spare>,
    ) -> Self {
        Self {
            inbox: Inbox::new(framing.codec, framing.text),
            outbox: Outbox::new(spare),
            socket,
            state: if connecting { State::Connecting } else { State::Open },
            gone: false,
            finishing: false,
            broken: None,
            last_turns: 0,
            failed: false,
            listed: false,
        }
    }

    /// Bytes in hand that are no message yet.
    pub(crate) fn in_hand(&self) -> usize {
        self.inbox.in_hand()
    }

    pub(crate) fn desired(&self, reads: bool) -> EventFlags {
        let mut flags = EventFlags::empty();
        if self.failed {
            return flags;
        }
        let reads = reads || self.state == State::Discarding;
        let open = !self.inbox.ended();
        flags.set(EventFlags::IN, reads && open);
        // Its end is noticed though nobody reads.
        flags.set(EventFlags::RDHUP, open && (reads || !self.gone));
        let writes = self.outbox.wants_writable() || self.broken.is_some();
        flags.set(EventFlags::OUT, writes || self.state == State::Connecting);
        flags
    }

    pub(crate) fn send(
        &mut self,
        limits: &Limits,
        payload: Payload<'_>,
        text: bool,
        fds: &[BorrowedFd<'_>],
    ) -> Result<Sent, SendError> {
        let codec = self.inbox.codec();
        let socket = self.socket.as_ref();
        self.outbox.send(socket, codec, limits, payload, text, fds)
    }

    /// Whether the protocol can carry a payload.
    pub(crate) fn check_frame(&self, payload: &[u8]) -> Result<(), Unframeable> {
        self.inbox.codec().frame(payload, true).map(drop)
    }

    /// Memory to write a small text into, and where; see the outbox.
    #[inline]
    pub(crate) fn open(&mut self, limits: &Limits) -> Option<(&mut Vec<u8>, usize)> {
        let headroom = self.outbox.headroom();
        self.outbox.open(limits).map(|memory| (memory, headroom))
    }

    /// Sends the text that was written there.
    #[inline]
    pub(crate) fn close(&mut self, limits: &Limits, start: usize) -> Result<Sent, SendError> {
        self.outbox.close(self.socket.as_ref(), self.inbox.codec(), limits, start, true)
    }

    /// Whether the reactor is to put it into its list of those to flush.
    #[inline]
    pub(crate) fn list(&mut self) -> bool {
        // Also where the kernel took only a part: what is left may be less than is told as queued, and
        // the flush asks the poller for the rest.
        let unlisted = !self.outbox.is_empty() && !self.listed;
        self.listed |= unlisted;
        unlisted
    }

    /// Sends what is queued, as far as it goes.
    pub(crate) fn flush(&mut self) {
        self.listed = false;
        if self.broken.is_none() {
            self.outbox.flush_quietly(self.socket.as_ref());
            self.finish_if_due();
        }
    }

    /// Shuts our side down when the queue is empty.
    pub(crate) fn finish(&mut self) {
        self.finishing = true;
        self.flush();
    }

    /// Drops what comes from now on.
    pub(crate) fn discard(&mut self) {
        self.state = State::Discarding;
    }

    /// Drops what is there, so that closing is no reset for the peer.
    pub(crate) fn discard_now(&self, shared: &mut Shared) {
        let Some(socket) = &self.socket else { return };
        let mut memory = vec![0; 64 * 1024];
        for _ in 0..DISCARDS {
            let into = &mut [IoSliceMut::new(&mut memory)];
            let received = socket.recv(into, &mut shared.control, &mut shared.received);
            shared.received.clear();
            if !received.is_ok_and(|received| received.len > 0) {
                return;
            }
        }
    }

    /// Works off a readiness of the socket; `reads`: whether messages are wanted.
    pub(crate) fn on_ready(
        &mut self,
        flags: EventFlags,
        reads: bool,
        meter: &mut Meter,
        shared: &mut Shared,
        batch: &mut Batch<'_>,
    ) {
        if self.state == State::Connecting {
            return self.on_connected(flags, batch);
        }
        let before = batch.events.len();
        // What the peer sent before it went comes first: a channel keeps that until it is wanted.
        let was_broken = self.broken.is_some();
        let reads = reads || (was_broken && self.last_turns < LAST_TURNS);
        self.last_turns += u32::from(was_broken);
        let gone = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        if self.state == State::Discarding {
            self.read_and_drop(shared, batch);
        } else if reads {
            self.read(meter, shared, batch);
        } else if gone && !self.inbox.ended() {
            self.on_gone(meter, batch);
        }
        let came = batch.events.len() > before;
        if flags.contains(EventFlags::OUT) || self.broken.is_some() {
            self.on_writable(meter, batch);
        }
        if let Some(errno) = self.broken
            && (was_broken || reads)
            && (!reads || !came || self.inbox.ended())
        {
            self.failed = true;
            batch.events.push(Event::Failed(errno, "sendmsg"));
        }
    }

    /// Reads what there is.
    pub(crate) fn read(&mut self, meter: &mut Meter, shared: &mut Shared, batch: &mut Batch<'_>) {
        if let Some(socket) = &self.socket {
            self.inbox.read(socket, meter, shared, batch);
        } else {
            self.inbox.decode(meter, batch);
            if self.gone && !self.inbox.has_undecoded() && !self.inbox.ended() {
                self.inbox.end(meter, batch);
            }
        }
    }

    /// Whether there is something to tell without a readiness; `reads`: messages are wanted.
    pub(crate) fn is_due(&self, reads: bool) -> bool {
        if self.inbox.has_undecoded() {
            return reads;
        }
        // Its end is noticed though nobody reads.
        self.socket.is_none() && self.gone && !self.inbox.ended()
    }

    /// Tries again, where it is time.
    pub(crate) fn on_time(&mut self, now: Instant, meter: &mut Meter, batch: &mut Batch<'_>) {
        if self.outbox.deadline().is_some_and(|at| at <= now) {
            self.on_writable(meter, batch);
        } else {
            self.after_writing(meter, batch);
        }
    }

    /// Takes bytes in that JavaScript carries; None: there are no more.
    pub(crate) fn feed(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.inbox.feed(bytes),
            None => self.gone = true,
        }
    }

    fn on_connected(&mut self, flags: EventFlags, batch: &mut Batch<'_>) {
        let Some(socket) = &self.socket else { return };
        if !flags.intersects(EventFlags::OUT | EventFlags::ERR | EventFlags::HUP) {
            return;
        }
        match socket.take_error().and_then(|()| socket.finish_connect()) {
            Ok(()) => {
                self.state = State::Open;
                batch.events.push(Event::Connected);
            }
            Err(errno) => batch.events.push(Event::Failed(errno, "connect")),
        }
    }

    /// The peer has ended or failed, and nobody reads.
    fn on_gone(&mut self, meter: &mut Meter, batch: &mut Batch<'_>) {
        let Some(socket) = &self.socket else { return };
        // The beginning of a message may be in hand, which is cut then.
        if !self.inbox.has_undecoded() {
            match socket.at_end() {
                Ok(true) => return self.inbox.end(meter, batch),
                Ok(false) => {}
                Err(errno) => return batch.events.push(Event::Failed(errno, "recvmsg")),
            }
        }
        // Messages stand before its end: it will be read when they are wanted.
        self.gone = true;
    }

    fn on_writable(&mut self, meter: &mut Meter, batch: &mut Batch<'_>) {
        if self.broken.is_some() {
            return;
        }
        if let Some(socket) = &self.socket
            && let Err(errno) = self.outbox.flush(socket)
        {
            self.broken = Some(errno);
            return;
        }
        self.finish_if_due();
        self.after_writing(meter, batch);
    }

    fn after_writing(&mut self, meter: &Meter, batch: &mut Batch<'_>) {
        if self.outbox.take_drained(&meter.limits) {
            batch.events.push(Event::Drained(None));
        }
    }

    fn finish_if_due(&mut self) {
        if self.finishing
            && self.outbox.is_empty()
            && let Some(socket) = &self.socket
        {
            self.finishing = false;
            // A peer that is gone already needs no telling.
            let _ = socket.shutdown_send();
        }
    }

    fn read_and_drop(&mut self, shared: &mut Shared, batch: &mut Batch<'_>) {
        let Some(socket) = &self.socket else { return };
        for _ in 0..DISCARDS {
            let into = &mut [IoSliceMut::new(batch.room_behind(0))];
            let received = socket.recv(into, &mut shared.control, &mut shared.received);
            shared.received.clear();
            match received {
                Ok(received) if received.len > 0 => {}
                Err(Errno::AGAIN) => return,
                // Its end, or an error, which is one too.
                _ => {
                    self.inbox.drop_rest();
                    batch.events.push(Event::End);
                    return;
                }
            }
        }
    }
}
