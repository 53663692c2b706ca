//! A datagram socket with its two directions.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `inbox.rs` | datagrams become messages, or are refused |
//! | `outbox.rs` | the queues, one for each destination |
//! | `lane.rs` | one of these queues, and what it waits for |
//! | `attempt.rs` | one message, handed to the kernel |
//! | `carried.rs` | messages that are too large go in a file |
//! | `share.rs` | how much of our send buffer each destination may hold |
//! | `flight.rs` | who the datagrams in flight have been sent to |

mod attempt;
mod carried;
mod flight;
mod inbox;
mod lane;
mod outbox;
mod share;

use std::io::IoSliceMut;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use fdwire_socket::{Address, Bound, Datagram, Errno};
use fdwire_wire::Protocol;

use crate::batch::{Batch, Event};
use crate::limits::{Limits, Meter};
use crate::poll::{EventFlags, Poller};
use crate::send::{SendError, Sent};
use crate::{Shared, Site};
use inbox::Inbox;
use outbox::{Outbox, Surroundings};
use share::Shares;

/// Records that closing drops, at the most.
const DISCARDS: usize = 1_024;

pub(crate) struct Datagrams {
    inbox: Inbox,
    pub(crate) outbox: Outbox,
    pub(crate) connected: bool,
    /// Whether the poller tells when somebody has received a datagram of ours.
    news: bool,
    /// Whether the peer of a seqpacket socket is known to have ended, with something unread before.
    gone: bool,
    /// Whether our side of it is to be shut down when the queue is empty.
    finishing: bool,
    // The name is removed before the socket closes: whoever finds it finds a live socket.
    bound: Option<Bound>,
    pub(crate) socket: Datagram,
}

impl Datagrams {
    pub(crate) fn new(
        socket: Datagram,
        bound: Option<Bound>,
        protocol: Protocol,
    ) -> Result<Self, (Errno, Datagram)> {
        let asked = socket.peer_address().and_then(|peer| match peer {
            Some(_) => Ok(None),
            None => Shares::new(&socket).map(Some),
        });
        let shares = match asked {
            Ok(shares) => shares,
            Err(errno) => return Err((errno, socket)),
        };
        let connected = shares.is_none();
        let (inbox, outbox) = (Inbox::new(protocol, connected), Outbox::new(shares));
        Ok(Self {
            inbox,
            outbox,
            connected,
            news: false,
            gone: false,
            finishing: false,
            bound,
            socket,
        })
    }

    /// Gives the socket away; its name, if it has one, stays.
    pub(crate) fn into_socket(mut self) -> Datagram {
        if let Some(bound) = self.bound.take() {
            bound.keep();
        }
        self.socket
    }

    pub(crate) fn unlink(&mut self) {
        self.bound = None;
    }

    pub(crate) fn desired(&self, reads: bool) -> EventFlags {
        let mut flags = EventFlags::empty();
        let reads = reads && !self.inbox.ended;
        flags.set(EventFlags::IN | EventFlags::RDHUP, reads);
        // The end of a seqpacket socket is noticed though nobody reads.
        let ends = self.socket.is_seqpacket() && !self.inbox.ended;
        flags.set(EventFlags::RDHUP, reads || (ends && !self.gone));
        flags.set(EventFlags::OUT, self.outbox.wants_writable());
        flags
    }

    pub(crate) fn send(
        &mut self,
        site: Site<'_>,
        limits: &Limits,
        bytes: &[u8],
        fds: &[BorrowedFd<'_>],
        to: Option<&Address>,
    ) -> Result<Sent, SendError> {
        let (outbox, around) = self.outbox_and_around(site, limits);
        outbox.send(&around, bytes, fds, to)
    }

    /// Works off a readiness of the socket; `reads`: whether messages are wanted.
    pub(crate) fn on_ready(
        &mut self,
        site: Site<'_>,
        flags: EventFlags,
        reads: bool,
        meter: &mut Meter,
        shared: &mut Shared,
        batch: &mut Batch<'_>,
    ) {
        // An error is worked off as a refused message; left alone it would be reported for ever.
        if flags.intersects(EventFlags::OUT | EventFlags::ERR) {
            let (outbox, around) = self.outbox_and_around(site, &meter.limits);
            outbox.on_writable(&around, &mut batch.events);
            self.finish_if_due();
        }
        let gone = EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR;
        if !reads && self.socket.is_seqpacket() && flags.intersects(gone) {
            self.on_gone(meter, shared, batch);
        }
        if reads {
            let before = batch.events.len();
            self.inbox.read(&self.socket, meter, shared, batch);
            // Somebody who has this socket too has shut it down, and all that was there is read: it
            // would be readable for ever.
            let shut = flags.contains(EventFlags::RDHUP) && !self.socket.is_seqpacket();
            if shut && batch.events.len() == before {
                batch.events.push(Event::Failed(Errno::SHUTDOWN, "recvmsg"));
            }
        }
    }

    /// The peer has ended, and nobody reads: what is there may be the end itself.
    fn on_gone(&mut self, meter: &mut Meter, shared: &mut Shared, batch: &mut Batch<'_>) {
        match self.socket.next_is_empty() {
            // An empty message is as blank; read, it is one that waits in JavaScript.
            Ok(true) => self.inbox.read(&self.socket, meter, shared, batch),
            // Messages stand before the end: it will be read when they are wanted.
            _ => self.gone = true,
        }
    }

    /// Drops the records that are there.
    pub(crate) fn discard_now(&mut self, shared: &mut Shared) {
        if !self.socket.is_seqpacket() {
            return;
        }
        let (mut memory, mut from) = ([0; 64], Address::UNNAMED);
        for _ in 0..DISCARDS {
            let into = &mut [IoSliceMut::new(&mut memory)];
            let Shared { control, received, .. } = shared;
            let dropped = self.socket.recv(into, control, received, &mut from);
            received.clear();
            if !dropped.is_ok_and(|dropped| !dropped.end) {
                return;
            }
        }
    }

    /// Shuts our side of a seqpacket socket down when the queue is empty.
    pub(crate) fn finish(&mut self) {
        self.finishing = true;
        self.finish_if_due();
    }

    fn finish_if_due(&mut self) {
        if self.finishing && self.outbox.queued().0 == 0 {
            self.finishing = false;
            // A peer that is gone already needs no telling.
            let _ = self.socket.shutdown_send();
        }
    }

    /// Works off the news that somebody has received a datagram.
    pub(crate) fn on_news(&mut self, site: Site<'_>, limits: &Limits, batch: &mut Batch<'_>) {
        if self.outbox.wants_news() {
            let (outbox, around) = self.outbox_and_around(site, limits);
            outbox.on_news(&around, &mut batch.events);
        } else {
            // Nobody waits for it: stop asking, until somebody does.
            self.stop_news(site.poller);
        }
    }

    pub(crate) fn on_receiver(
        &mut self,
        site: Site<'_>,
        limits: &Limits,
        lane: usize,
        batch: &mut Batch<'_>,
    ) {
        let (outbox, around) = self.outbox_and_around(site, limits);
        outbox.on_receiver(&around, lane, &mut batch.events);
    }

    pub(crate) fn on_time(
        &mut self,
        site: Site<'_>,
        limits: &Limits,
        now: Instant,
        batch: &mut Batch<'_>,
    ) {
        let (outbox, around) = self.outbox_and_around(site, limits);
        outbox.on_time(&around, now, &mut batch.events);
    }

    /// One non-blocking attempt for everything that is queued.
    pub(crate) fn try_all(&mut self, site: Site<'_>, limits: &Limits) {
        let (outbox, around) = self.outbox_and_around(site, limits);
        outbox.try_all(&around, &mut Vec::new());
    }

    /// Asks for news where a lane waits for them. Where that fails there are the pauses.
    pub(crate) fn watch_news(&mut self, site: Site<'_>) {
        if self.outbox.wants_news() && !self.news {
            self.news = site.poller.watch(&self.socket, site.index).is_ok();
        }
    }

    /// Takes all but the socket itself out of the poller's sets.
    pub(crate) fn disarm(&mut self, site: Site<'_>, limits: &Limits) {
        self.stop_news(site.poller);
        let (outbox, around) = self.outbox_and_around(site, limits);
        outbox.disarm(&around);
    }

    fn stop_news(&mut self, poller: &Poller) {
        if std::mem::take(&mut self.news) {
            let _ = poller.unwatch(&self.socket);
        }
    }

    fn outbox_and_around<'a>(
        &'a mut self,
        site: Site<'a>,
        limits: &'a Limits,
    ) -> (&'a mut Outbox, Surroundings<'a>) {
        (&mut self.outbox, Surroundings { socket: &self.socket, site, limits })
    }
}
