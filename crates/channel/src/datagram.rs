//! The datagram transport: both directions of a datagram or seqpacket socket.
//!
//! | file | contents |
//! | --- | --- |
//! | `inbox.rs` | receives datagrams and decodes them to messages |
//! | `outbox.rs`, `outbox/` | the queues, one for each destination |
//! | `queue.rs` | one of these queues, and what it waits for |
//! | `attempt.rs` | one attempt to hand a message to the kernel |
//! | `memfd.rs` | sends and receives messages in a memfd that are too large for a datagram |
//! | `share.rs` | the share of our send buffer that each destination may occupy |
//! | `in_flight.rs` | the destinations of the datagrams in flight |

mod attempt;
mod in_flight;
mod inbox;
mod memfd;
mod outbox;
mod queue;
mod share;

use std::io::IoSliceMut;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use fdwire_socket::closing::discard;
use fdwire_socket::{Address, Datagram, Errno};
use fdwire_wire::Protocol;

use crate::batch::Event;
use crate::limits::{Activity, Counters, Limits, Meter};
use crate::poll::{EventFlags, Poller};
use crate::send::{Queued, SendError, Sent};
use crate::{Shared, Site, Turn};
use inbox::Inbox;
use outbox::{Context, Outbox};
pub use queue::ENTRY;
use share::Shares;

/// Maximum number of records that closing discards.
const DISCARDS: usize = 1_024;

/// A datagram or seqpacket socket with the state of its two directions.
pub(crate) struct DatagramTransport {
    inbox: Inbox,
    outbox: Outbox,
    /// Whether the poller reports write-space edges of the socket.
    watches_write_space: bool,
    /// Whether the peer of a seqpacket socket has ended the connection, and there are unread
    /// records.
    end_pending: bool,
    /// Whether to half-close a seqpacket socket as soon as the queue is empty.
    finishing: bool,
    /// Whether the connection is lost. Then the socket is a placeholder.
    disconnected: bool,
    pub(crate) socket: Datagram,
}

impl DatagramTransport {
    pub(crate) fn new(socket: Datagram, protocol: Protocol) -> Result<Self, (Errno, Datagram)> {
        let shares = socket.is_connected().and_then(|connected| match connected {
            true => Ok(None),
            false => Shares::new(&socket).map(Some),
        });
        let shares = match shares {
            Ok(shares) => shares,
            Err(errno) => return Err((errno, socket)),
        };
        Ok(Self {
            inbox: Inbox::new(protocol, shares.is_none()),
            outbox: Outbox::new(shares),
            watches_write_space: false,
            end_pending: false,
            finishing: false,
            disconnected: false,
            socket,
        })
    }

    /// Returns the descriptor; None while the connection is lost.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        (!self.disconnected).then(|| self.socket.as_fd())
    }

    /// Returns the descriptor. A bound path remains.
    #[expect(clippy::unnecessary_wraps, reason = "the same signature as a stream's")]
    pub(crate) fn into_fd(self) -> Option<OwnedFd> {
        Some(self.socket.into_fd())
    }

    pub(crate) fn unlink(&mut self) {
        self.socket.unlink();
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.outbox.is_connected()
    }

    /// Prepares the socket for its first receive.
    pub(crate) fn prepare_to_receive(&self, limits: &Limits) {
        self.socket.prepare_to_receive(limits.refuses_fds());
    }

    /// Returns the length in bytes of the longest message that the kernel accepts.
    pub(crate) fn largest(&self) -> Result<usize, Errno> {
        self.outbox.largest(&self.socket)
    }

    pub(crate) fn queued(&self) -> Queued {
        self.outbox.queued()
    }

    pub(crate) fn seqs(&self) -> (Option<u64>, u64) {
        self.outbox.seqs()
    }

    /// Returns whether nothing more is received.
    pub(crate) fn input_ended(&self) -> bool {
        self.inbox.ended
    }

    /// Returns what has moved so far.
    pub(crate) fn activity(&self, counters: &Counters) -> Activity {
        let queued = self.outbox.queued().messages as u64;
        let received = (counters.received, counters.refused);
        Activity { received, sent: counters.sent - queued, message: None }
    }

    /// Returns the number of sent bytes that the peer has not received, including the kernel's
    /// overhead.
    pub(crate) fn in_transit(&self) -> usize {
        self.socket.unsent().unwrap_or(0)
    }

    pub(crate) fn take_settled(&mut self) -> bool {
        self.outbox.take_settled()
    }

    pub(crate) fn desired(&self, reads: bool) -> EventFlags {
        let mut flags = EventFlags::empty();
        let reads = reads && !self.inbox.ended;
        flags.set(EventFlags::IN, reads);
        // The end of a connection is detected even without read interest.
        let ends = self.socket.is_seqpacket() && !self.inbox.ended;
        flags.set(EventFlags::RDHUP, reads || (ends && !self.end_pending));
        flags.set(EventFlags::OUT, self.outbox.wants_writable());
        flags
    }

    /// Returns whether the connection is lost, so that its last records are read even without read
    /// interest: its end follows them. The owner of the channel stores them.
    pub(crate) fn takes_rest(&self) -> bool {
        self.socket.is_seqpacket() && self.outbox.is_held() && !self.inbox.ended
    }

    /// Returns whether something is queued until the peer takes more.
    pub(crate) fn waits_for_peer(&self) -> bool {
        self.outbox.wants_writable()
    }

    pub(crate) fn send(
        &mut self,
        site: Site<'_>,
        meter: &mut Meter,
        bytes: &[u8],
        fds: &[BorrowedFd<'_>],
        to: Option<&Address>,
    ) -> Result<Sent, SendError> {
        let (outbox, cx) = self.outbox_in(site, meter);
        outbox.send(&cx, bytes, fds, to)
    }

    /// Handles readiness of the socket. `reads`: whether to read messages.
    pub(crate) fn on_ready(
        &mut self,
        flags: EventFlags,
        reads: bool,
        meter: &mut Meter,
        turn: &mut Turn<'_, '_>,
    ) {
        // A send clears a pending error of the socket, which epoll would otherwise keep reporting.
        // A socket that is shut down may not be writable, but sending to it fails.
        if flags.intersects(EventFlags::OUT | EventFlags::ERR | EventFlags::HUP) {
            let (outbox, mut cx) = self.outbox_in(turn.site, meter);
            outbox.on_writable(&mut cx, &mut turn.batch.events);
            self.finish_if_drained();
        }
        let hung_up = EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
        if !reads && self.socket.is_seqpacket() && flags.intersects(hung_up) {
            self.on_hang_up(turn);
        }
        if reads {
            let results_before = turn.batch.results();
            self.inbox.read(&self.socket, meter, turn.shared, turn.batch);
            // Another process that shares the socket has shut it down, and no message is left.
            // Without this failure, epoll would keep reporting the socket as readable.
            let shut = flags.contains(EventFlags::RDHUP) && !self.socket.is_seqpacket();
            if shut && turn.batch.results() == results_before {
                turn.batch.events.push(Event::Failed(Errno::SHUTDOWN, "recvmsg"));
            }
        }
    }

    /// Handles the end of the connection without read interest.
    fn on_hang_up(&mut self, turn: &mut Turn<'_, '_>) {
        if self.inbox.ended {
            return;
        }
        // A peer that has closed with unread records of ours leaves an error, which one call returns.
        let at_end = self.socket.at_end().or_else(|_| self.socket.at_end());
        match at_end {
            Ok(true) => {
                self.inbox.ended = true;
                turn.batch.events.push(Event::End);
            }
            _ => self.end_pending = true,
        }
    }

    /// Makes the loss of the connection drop no message.
    pub(crate) fn keep_on_loss(&mut self) {
        self.outbox.keep_on_loss();
    }

    /// Stops sending until the connection is replaced: messages are queued.
    pub(crate) fn hold(&mut self) {
        self.outbox.hold();
    }

    /// Drops the connection: closes the socket, and drops all messages unless `keep`. Returns the
    /// sequence numbers of the dropped messages.
    pub(crate) fn disconnect(&mut self, keep: bool) -> Vec<u64> {
        // Without a descriptor for the placeholder, the old socket stays, and is only shut down.
        match Datagram::new() {
            Ok(placeholder) => self.socket = placeholder,
            Err(_) => {
                let _ = self.socket.shutdown_send();
                self.socket.unlink();
            }
        }
        self.disconnected = true;
        (self.inbox.ended, self.end_pending) = (true, false);
        self.outbox.disconnect(keep)
    }

    /// Replaces the lost connection by that of `other`, which is new. The queue stays.
    pub(crate) fn reconnect(&mut self, other: Self) {
        (self.socket, self.inbox, self.disconnected) = (other.socket, other.inbox, false);
        debug_assert!(!self.watches_write_space);
        self.outbox.release();
        self.finish_if_drained();
    }

    /// Discards unread records.
    pub(crate) fn discard_now(&mut self, shared: &mut Shared) {
        if !self.socket.is_seqpacket() || self.inbox.ended {
            return;
        }
        let mut memory = [0; 64];
        for _ in 0..DISCARDS {
            let into = &mut [IoSliceMut::new(&mut memory)];
            let Shared { control, received, from, .. } = &mut *shared;
            let discarded = self.socket.recv(into, control, received, from);
            discard(received);
            if !discarded.is_ok_and(|discarded| !discarded.end) {
                return;
            }
        }
    }

    /// Half-closes a seqpacket socket as soon as the queue is empty.
    pub(crate) fn finish(&mut self) {
        self.finishing = true;
        self.finish_if_drained();
    }

    fn finish_if_drained(&mut self) {
        if self.finishing && !self.disconnected && self.outbox.queued().messages == 0 {
            self.finishing = false;
            // This fails if the peer has closed already, in which case no half-close is needed.
            let _ = self.socket.shutdown_send();
        }
    }

    /// Handles a write-space edge: a receiver has consumed one of our datagrams.
    pub(crate) fn on_write_space(&mut self, meter: &mut Meter, turn: &mut Turn<'_, '_>) {
        if self.outbox.wants_write_space() {
            let (outbox, mut cx) = self.outbox_in(turn.site, meter);
            outbox.on_write_space(&mut cx, &mut turn.batch.events);
            self.finish_if_drained();
        } else {
            self.unwatch_write_space(turn.site.poller);
        }
    }

    /// Handles readiness of the socket with which a queue waits for its receiver.
    pub(crate) fn on_receiver(&mut self, meter: &mut Meter, queue: usize, turn: &mut Turn<'_, '_>) {
        let (outbox, mut cx) = self.outbox_in(turn.site, meter);
        outbox.on_receiver(&mut cx, queue, &mut turn.batch.events);
    }

    /// Reports messages that were dropped outside a turn.
    pub(crate) fn report_evicted(&mut self, meter: &mut Meter, events: &mut Vec<Event>) {
        self.outbox.report_evicted(&mut meter.counters, events);
    }

    pub(crate) fn is_due(&self, _reads: bool) -> bool {
        self.outbox.is_due()
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.outbox.deadline()
    }

    pub(crate) fn on_deadline(
        &mut self,
        now: Instant,
        _reads: bool,
        meter: &mut Meter,
        turn: &mut Turn<'_, '_>,
    ) {
        let (outbox, mut cx) = self.outbox_in(turn.site, meter);
        outbox.on_deadline(&mut cx, now, &mut turn.batch.events);
        self.finish_if_drained();
    }

    /// Makes one attempt to send everything that is queued.
    pub(crate) fn try_all(&mut self, site: Site<'_>, meter: &mut Meter) {
        let (outbox, mut cx) = self.outbox_in(site, meter);
        outbox.try_all(&mut cx, &mut Vec::new());
    }

    /// Registers for write-space edges if a queue waits for them. If that fails, the queue still
    /// retries by timer.
    pub(crate) fn watch_write_space(&mut self, site: Site<'_>) {
        if self.outbox.wants_write_space() && !self.watches_write_space {
            self.watches_write_space =
                site.poller.watch_write_space(&self.socket, site.index).is_ok();
        }
    }

    /// Makes the queue of the peer retry by timer if it waits for the socket to become writable.
    /// Returns whether it does.
    pub(crate) fn poll_by_timer(&mut self, now: Instant) -> bool {
        let waits = self.outbox.wants_writable();
        if waits {
            self.outbox.poll_by_timer(now);
        }
        waits
    }

    /// Removes everything but the socket itself from the epoll instances.
    pub(crate) fn disarm(&mut self, site: Site<'_>) {
        self.unwatch_write_space(site.poller);
        self.outbox.disarm(site.poller);
    }

    fn unwatch_write_space(&mut self, poller: &Poller) {
        if std::mem::take(&mut self.watches_write_space) {
            let _ = poller.unwatch_write_space(&self.socket);
        }
    }

    fn outbox_in<'a>(
        &'a mut self,
        site: Site<'a>,
        meter: &'a mut Meter,
    ) -> (&'a mut Outbox, Context<'a>) {
        let Meter { limits, counters, .. } = meter;
        (&mut self.outbox, Context { socket: &self.socket, site, limits, counters })
    }
}
