//! A datagram socket with its two directions.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `inbox.rs` | datagrams become messages, or are refused |
//! | `outbox.rs` | the queues, one for each destination |
//! | `lane.rs` | one of these queues, and what it waits for |
//! | `attempt.rs` | one message, handed to the kernel |
//! | `share.rs` | how much of our send buffer each destination may hold |
//! | `flight.rs` | who the datagrams in flight have been sent to |

mod attempt;
mod flight;
mod inbox;
mod lane;
mod outbox;
mod share;

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

pub(crate) struct Datagrams {
    inbox: Inbox,
    pub(crate) outbox: Outbox,
    pub(crate) connected: bool,
    /// Whether the poller tells when somebody has received a datagram of ours.
    news: bool,
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
        Ok(Self { inbox, outbox, connected, news: false, bound, socket })
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
        flags.set(EventFlags::IN | EventFlags::RDHUP, reads);
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
        }
        if reads {
            let before = batch.events.len();
            self.inbox.read(&self.socket, meter, shared, batch);
            // Somebody who has this socket too has shut it down, and all that was there is read: it
            // would be readable for ever.
            if flags.contains(EventFlags::RDHUP) && batch.events.len() == before {
                batch.events.push(Event::Failed(Errno::SHUTDOWN, "recvmsg"));
            }
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
