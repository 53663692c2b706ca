//! One channel: its limits and counters, its read interest, and its transport.
//!
//! | file | contents |
//! | --- | --- |
//! | `channel/connection.rs` | replaces the connection |
//! | `channel/deadlines.rs` | how long no byte may move, and how long one message may take |
//! | `channel/queries.rs` | the methods that return information about it |
//! | `channel/registration.rs` | the registration with the epoll instances |

mod connection;
mod deadlines;
mod queries;
mod registration;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Instant;

use fdwire_socket::{Address, Datagram, Errno, Stream, peer_pidfd};
use fdwire_wire::Protocol;
use fdwire_wire::codec::Encoded;

use crate::batch::Event;
use crate::busy_poll::BusyPoll;
use crate::datagram::DatagramTransport;
use crate::interest::Interest;
use crate::limits::{Limits, Meter};
use crate::pace::Pace;
use crate::poll::EventFlags;
use crate::send::{SendError, Sent};
use crate::stream::{Framing, Link, Payload, SegmentPool, StreamTransport};
use crate::transport::{Transport, on_transport};
use crate::{Shared, Site, Turn};
use deadlines::Deadlines;

/// A transport with the limits, counters and read interest of its channel.
pub struct Channel {
    meter: Meter,
    transport: Transport,
    /// When the reactor calls `on_deadline` next.
    pub(crate) scheduled: Option<Instant>,
    /// A pidfd of the peer, after the first call of `peer_pidfd`.
    pidfd: Option<OwnedFd>,
    interest: Interest,
    /// Read interest: whether the owner of the channel accepts messages.
    reading: bool,
    /// Whether [`Event::Progress`] reports that queued messages were sent or dropped.
    reports_progress: bool,
    /// Whether received texts are JSON.
    json: bool,
    /// How many messages the next turn may have.
    pub(crate) pace: Pace,
    pub(crate) busy_poll: Option<Box<BusyPoll>>,
    deadlines: Option<Box<Deadlines>>,
    /// Whether to report that the connection is shut down in both directions.
    watches_hang_up: bool,
}

impl Channel {
    /// Creates a channel over a datagram or seqpacket socket.
    ///
    /// # Errors
    ///
    /// The error of the system call that failed, with the socket.
    pub fn datagram(
        socket: Datagram,
        protocol: Protocol,
        limits: Limits,
    ) -> Result<Self, (Errno, Datagram)> {
        let datagrams = DatagramTransport::new(socket, protocol)?;
        let json = protocol == Protocol::Jsoncomm;
        Ok(Self::new(Transport::Datagram(Box::new(datagrams)), json, limits))
    }

    /// Creates a channel over a stream. If `connecting`, an event reports when it is connected.
    pub(crate) fn stream(
        link: Link,
        connecting: bool,
        framing: Framing,
        limits: Limits,
        pool: Rc<SegmentPool>,
    ) -> Self {
        let json = framing.json;
        let stream = StreamTransport::new(link, connecting, framing, pool);
        Self::new(Transport::Stream(stream), json, limits)
    }

    fn new(transport: Transport, json: bool, limits: Limits) -> Self {
        Self {
            busy_poll: BusyPoll::new(limits.busy_poll),
            deadlines: Deadlines::new(limits.idle_timeout, limits.message_timeout),
            meter: Meter::new(limits),
            transport,
            scheduled: None,
            pidfd: None,
            interest: Interest::NONE,
            reading: false,
            reports_progress: false,
            json,
            pace: Pace::FIRST,
            watches_hang_up: false,
        }
    }

    /// Returns the socket's descriptor, or None if the caller transfers the bytes of the stream.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        on_transport!(&self.transport, it => it.fd())
    }

    /// Returns whether the descriptor with this number is the channel's.
    pub(crate) fn owns(&self, number: i32) -> bool {
        let pidfd = self.pidfd.as_ref().map(AsFd::as_fd);
        self.fd().into_iter().chain(pidfd).any(|fd| fd.as_raw_fd() == number)
    }

    /// Returns a pidfd of the peer, which the channel owns until it closes.
    pub(crate) fn peer_pidfd(&mut self) -> Result<BorrowedFd<'_>, Errno> {
        let opened = match self.pidfd.take() {
            Some(pidfd) => pidfd,
            None => peer_pidfd(self.fd().ok_or(Errno::NOTSOCK)?)?,
        };
        Ok(OwnedFd::as_fd(self.pidfd.insert(opened)))
    }

    /// Returns the socket's descriptor. A bound path remains.
    pub fn into_fd(self) -> Option<OwnedFd> {
        on_transport!(self.transport, it => it.into_fd())
    }

    /// Returns the socket of a stream.
    pub(crate) fn into_stream(self) -> Option<Stream> {
        match self.transport {
            Transport::Stream(stream) => stream.into_socket(),
            Transport::Datagram(_) => None,
        }
    }

    /// Removes the path that the socket is bound to, if any. The socket stays open.
    pub(crate) fn unlink(&mut self) {
        on_transport!(&mut self.transport, it => it.unlink());
    }

    /// Shares `last` if its limits are equal; otherwise sets `last` to the limits of this channel.
    pub(crate) fn share_limits(&mut self, last: &mut Option<Rc<Limits>>) {
        match last {
            Some(last) if **last == *self.meter.limits => self.meter.limits = Rc::clone(last),
            _ => *last = Some(Rc::clone(&self.meter.limits)),
        }
    }

    pub(crate) fn set_reading(&mut self, reading: bool) {
        self.reading = reading;
        if reading {
            let Self { transport, meter, .. } = self;
            on_transport!(&*transport, it => it.prepare_to_receive(&meter.limits));
        }
    }

    pub(crate) fn watch_hang_up(&mut self) {
        self.watches_hang_up = true;
    }

    pub(crate) fn set_reports_progress(&mut self, reports: bool) {
        self.reports_progress = reports;
    }

    pub(crate) fn count_malformed(&mut self, bytes: usize, fds: usize) {
        self.meter.count_malformed(bytes, fds);
    }

    pub(crate) fn released(&mut self, fds: usize) -> bool {
        self.meter.released(fds)
    }

    /// Sends a message. The second result is whether the reactor must add the channel to its list
    /// of streams to flush.
    pub(crate) fn send(
        &mut self,
        site: Site<'_>,
        payload: Payload<'_>,
        text: bool,
        fds: &[BorrowedFd<'_>],
        to: Option<&Address>,
    ) -> Result<(Sent, bool), SendError> {
        let len = payload.bytes().len();
        let (sent, unlisted) = match &mut self.transport {
            Transport::Datagram(datagrams) => {
                (datagrams.send(site, &mut self.meter, payload.bytes(), fds, to)?, false)
            }
            Transport::Stream(stream) => {
                let sent = stream.send(&self.meter.limits, payload, text, fds)?;
                (sent, stream.list_for_flush())
            }
        };
        self.meter.sent(1, len, fds.len());
        Ok((sent, unlisted))
    }

    /// Sends a text that `write` appends to the outbox of a stream, as [`send`](Self::send) does.
    ///
    /// `write` gets the memory and the number of bytes to append before the text, and returns the
    /// length of the text. Returns None if `write` does, or if the channel has no room or is not a
    /// stream.
    #[inline]
    pub(crate) fn send_written(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>, usize) -> Option<usize>,
    ) -> Option<Result<(Sent, bool), SendError>> {
        let Transport::Stream(stream) = &mut self.transport else { return None };
        let limits = &self.meter.limits;
        let (memory, headroom) = stream.begin_text(limits)?;
        let start = memory.len();
        let len = write(memory, headroom)?;
        let sent = match stream.finish_text(limits, start) {
            Ok(sent) => sent,
            Err(error) => return Some(Err(error)),
        };
        let unlisted = stream.list_for_flush();
        self.meter.sent(1, len, 0);
        Some(Ok((sent, unlisted)))
    }

    /// Queues small messages of a stream, until one fails. Each is a payload and whether it is text.
    /// The second result is as in [`send`](Self::send).
    pub(crate) fn gather<'a>(
        &mut self,
        messages: impl Iterator<Item = (&'a [u8], bool)>,
    ) -> (Result<(), SendError>, bool) {
        let Some(stream) = self.transport.stream_mut() else {
            return (Err(SendError::Refused(Errno::OPNOTSUPP)), false);
        };
        let mut total = Encoded::default();
        let queued = stream.gather(messages, &mut total);
        self.meter.sent(total.payloads, total.bytes, 0);
        (queued, stream.list_for_flush())
    }

    /// Returns how many bytes of small messages the caller of [`gather`](crate::Reactor::gather) can
    /// pass before it must send: 0 for datagrams.
    pub fn room(&self) -> usize {
        self.transport.stream().map_or(0, |stream| stream.outbox.room(&self.meter.limits))
    }

    /// Half-closes the connection as soon as the queue is empty.
    pub(crate) fn finish(&mut self) {
        on_transport!(&mut self.transport, it => it.finish());
    }

    /// Discards unread input, because closing a socket with unread input resets the connection.
    pub(crate) fn discard_now(&mut self, shared: &mut Shared) {
        on_transport!(&mut self.transport, it => it.discard_now(shared));
    }

    pub(crate) fn as_stream_mut(&mut self) -> Option<&mut StreamTransport> {
        self.transport.stream_mut()
    }

    /// Handles readiness of the socket.
    pub(crate) fn on_ready(&mut self, flags: EventFlags, turn: &mut Turn<'_, '_>) {
        let (before, reads) = (self.desired(), self.reads());
        on_transport!(&mut self.transport, it => it.on_ready(flags, reads, &mut self.meter, turn));
        self.report_progress(turn);
        if self.watches_hang_up && flags.contains(EventFlags::HUP) {
            self.watches_hang_up = false;
            turn.batch.events.push(Event::HungUp);
        }
        // Readiness that the channel does not wait for is unregistered when epoll first reports it.
        // Writability is compared with the interest before this call, because a sender often
        // refills a queue that has just become empty. Input is compared with the interest after the
        // call: otherwise epoll would keep reporting an end that has just been read.
        let input = flags & (EventFlags::IN | EventFlags::RDHUP);
        let ready = input | flags & EventFlags::OUT;
        let after = self.desired();
        if before.is_empty()
            || !before.contains(ready)
            || after.is_empty()
            || !after.contains(input)
        {
            self.lower(turn.site);
        }
    }

    /// Handles a write-space edge: a receiver has consumed one of our datagrams.
    pub(crate) fn on_write_space(&mut self, turn: &mut Turn<'_, '_>) {
        if let Some(datagrams) = self.transport.datagrams_mut() {
            datagrams.on_write_space(&mut self.meter, turn);
        }
        self.report_progress(turn);
    }

    /// Handles readiness of the socket with which a queue waits for its receiver.
    pub(crate) fn on_receiver(&mut self, queue: usize, turn: &mut Turn<'_, '_>) {
        if let Some(datagrams) = self.transport.datagrams_mut() {
            datagrams.on_receiver(&mut self.meter, queue, turn);
        }
        self.report_progress(turn);
    }

    /// Handles the deadline that the reactor has scheduled.
    pub(crate) fn on_deadline(&mut self, now: Instant, turn: &mut Turn<'_, '_>) {
        let reads = self.reads();
        on_transport!(&mut self.transport, it => it.on_deadline(now, reads, &mut self.meter, turn));
        self.report_progress(turn);
        self.check_deadlines(turn);
    }

    /// Makes one attempt to send everything that is queued.
    pub(crate) fn try_all(&mut self, site: Site<'_>) {
        on_transport!(&mut self.transport, it => it.try_all(site, &mut self.meter));
    }

    /// Returns whether a turn would have an event although the socket is not ready.
    #[must_use]
    pub fn is_due(&self) -> bool {
        on_transport!(&self.transport, it => it.is_due(self.reads()))
    }

    /// Returns when `on_deadline` must be called, if at all.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let now = self.is_due().then(Instant::now);
        let other = || on_transport!(&self.transport, it => it.deadline());
        let clocks = self.deadlines.as_ref().and_then(|deadlines| deadlines.next());
        let retry = self.meter.retry_at(self.reading);
        now.or_else(|| other().into_iter().chain(retry).chain(clocks).min())
    }

    /// Returns whether to read messages now.
    pub(crate) fn reads(&self) -> bool {
        let takes_rest = || self.transport.datagrams().is_some_and(DatagramTransport::takes_rest);
        (self.reading || takes_rest()) && !self.meter.holds_fds()
    }

    fn report_progress(&mut self, turn: &mut Turn<'_, '_>) {
        // Before the progress, which tells that everything before the oldest queued message was sent.
        if let Some(datagrams) = self.transport.datagrams_mut() {
            datagrams.report_evicted(&mut self.meter, &mut turn.batch.events);
        }
        let settled = on_transport!(&mut self.transport, it => it.take_settled());
        if settled && self.reports_progress {
            turn.batch.events.push(Event::Progress);
        }
    }
}
