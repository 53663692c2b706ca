//! One datagram channel: a socket, what is wanted of it, and its two directions.

use std::os::fd::BorrowedFd;
use std::time::Instant;

use fdwire_socket::{Address, Bound, Datagram, Errno};
use fdwire_wire::Protocol;

use crate::batch::{Batch, Event};
use crate::inbox::{Inbox, Shared};
use crate::limits::{Counters, Limits};
use crate::outbox::{Outbox, SendError, Sent, Surroundings};
use crate::poll::{EventFlags, Poller, Token};
use crate::share::Shares;

/// A datagram socket with the state of its two directions.
pub struct Channel {
    limits: Limits,
    connected: bool,
    wanted: bool,
    watched: bool,
    inbox: Inbox,
    outbox: Outbox,
    counters: Counters,
    armed: EventFlags,
    /// Whether the poller tells when somebody has received a datagram of ours.
    news: bool,
    /// When the reactor will call `on_time`.
    pub(crate) scheduled: Option<Instant>,
    // The name is removed before the socket closes: whoever finds it finds a live socket.
    bound: Option<Bound>,
    socket: Datagram,
}

impl Channel {
    /// A channel over `socket`, which was bound by `bound` where it has a path.
    ///
    /// # Errors
    ///
    /// When the socket can't be asked what it is; it is given back.
    pub fn new(
        socket: Datagram,
        bound: Option<Bound>,
        protocol: Protocol,
        limits: Limits,
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
        Ok(Self {
            limits,
            connected,
            wanted: false,
            watched: false,
            inbox: Inbox::new(protocol, connected),
            outbox: Outbox::new(shares),
            counters: Counters::default(),
            armed: EventFlags::empty(),
            news: false,
            scheduled: None,
            bound,
            socket,
        })
    }

    /// The socket.
    pub fn socket(&self) -> &Datagram {
        &self.socket
    }

    /// Whether the socket has one peer, so that messages go to nobody else.
    pub fn connected(&self) -> bool {
        self.connected
    }

    /// What was done so far.
    pub fn counters(&self) -> Counters {
        Counters { undelivered: self.outbox.given_up(), ..self.counters }
    }

    /// Messages, bytes and descriptors that are queued.
    pub fn queued(&self) -> (usize, usize, usize) {
        self.outbox.queued()
    }

    /// Received descriptors that nobody has taken or closed.
    pub fn open_fds(&self) -> usize {
        self.inbox.open_fds
    }

    /// The number of the oldest queued message, and of the next one to be queued.
    pub fn seqs(&self) -> (Option<u64>, u64) {
        self.outbox.seqs()
    }

    /// Gives the socket away; its name, if it has one, stays.
    pub fn into_socket(mut self) -> Datagram {
        if let Some(bound) = self.bound.take() {
            bound.keep();
        }
        self.socket
    }

    /// Removes the name now, if it is a path that we bound; the socket stays.
    pub(crate) fn unlink(&mut self) {
        self.bound = None;
    }

    pub(crate) fn want(&mut self, wanted: bool) {
        self.wanted = wanted;
    }

    pub(crate) fn watch(&mut self, watched: bool) {
        self.watched = watched;
    }

    pub(crate) fn released(&mut self, fds: usize) {
        self.inbox.open_fds = self.inbox.open_fds.saturating_sub(fds);
    }

    pub(crate) fn send(
        &mut self,
        poller: &Poller,
        index: usize,
        bytes: &[u8],
        fds: &[BorrowedFd<'_>],
        to: Option<&Address>,
    ) -> Result<Sent, SendError> {
        let (outbox, around) = self.outbox_and_around(poller, index);
        let sent = outbox.send(&around, bytes, fds, to)?;
        self.counters.sent += 1;
        self.counters.sent_bytes += bytes.len() as u64;
        self.counters.sent_fds += fds.len() as u64;
        Ok(sent)
    }

    /// Works off a readiness of the socket.
    pub(crate) fn on_ready(
        &mut self,
        poller: &Poller,
        index: usize,
        flags: EventFlags,
        shared: &mut Shared,
        batch: &mut Batch<'_>,
    ) {
        let wanted = self.desired();
        // An error is worked off as a refused message; left alone it would be reported for ever.
        if flags.intersects(EventFlags::OUT | EventFlags::ERR) {
            let (outbox, around) = self.outbox_and_around(poller, index);
            outbox.on_writable(&around, &mut batch.events);
            self.after_writing(batch);
        }
        if wanted.contains(EventFlags::IN) {
            let before = batch.events.len();
            self.inbox.read(&self.socket, &self.limits, &mut self.counters, shared, batch);
            // Somebody who has this socket too has shut it down, and all that was there is read: it
            // would be readable for ever.
            if flags.contains(EventFlags::RDHUP) && batch.events.len() == before {
                batch.events.push(Event::Failed(Errno::SHUTDOWN, "recvmsg"));
            }
        }
        // Something came that nobody wanted: stop asking for it, until somebody does. It is looked at
        // as it was before, since who has just been told of an empty queue fills it again, mostly.
        if wanted.is_empty() || !wanted.contains(flags & (EventFlags::IN | EventFlags::OUT)) {
            self.lower(poller, index);
        }
    }

    /// Works off the news that somebody has received a datagram.
    pub(crate) fn on_news(&mut self, poller: &Poller, index: usize, batch: &mut Batch<'_>) {
        if self.outbox.wants_news() {
            let (outbox, around) = self.outbox_and_around(poller, index);
            outbox.on_news(&around, &mut batch.events);
            self.after_writing(batch);
        } else {
            // Nobody waits for it: stop asking, until somebody does.
            self.stop_news(poller);
        }
    }

    pub(crate) fn on_receiver(
        &mut self,
        poller: &Poller,
        index: usize,
        lane: usize,
        batch: &mut Batch<'_>,
    ) {
        let (outbox, around) = self.outbox_and_around(poller, index);
        outbox.on_receiver(&around, lane, &mut batch.events);
        self.after_writing(batch);
    }

    pub(crate) fn on_time(
        &mut self,
        poller: &Poller,
        index: usize,
        now: Instant,
        batch: &mut Batch<'_>,
    ) {
        let (outbox, around) = self.outbox_and_around(poller, index);
        outbox.on_time(&around, now, &mut batch.events);
        self.after_writing(batch);
    }

    /// One non-blocking attempt for everything that is queued.
    pub(crate) fn try_all(&mut self, poller: &Poller, index: usize) {
        let (outbox, around) = self.outbox_and_around(poller, index);
        outbox.try_all(&around, &mut Vec::new());
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.outbox.deadline()
    }

    /// Asks the poller for what is wanted and not asked for yet.
    ///
    /// What is not wanted any more stays asked for until it comes: a consumer that takes one
    /// message after the other would else cost two system calls for each.
    pub(crate) fn arm(&mut self, poller: &Poller, index: usize) -> Result<(), Errno> {
        if self.outbox.wants_news() && !self.news {
            // Where it fails there are the pauses.
            self.news = poller.watch(&self.socket, index).is_ok();
        }
        let asked = self.raise(poller, index);
        if asked.is_err() && self.outbox.wants_writable() {
            // A queued message is taken, come what may.
            self.outbox.without_polling(Instant::now());
            return self.raise(poller, index);
        }
        asked
    }

    fn raise(&mut self, poller: &Poller, index: usize) -> Result<(), Errno> {
        let desired = self.desired();
        if self.armed.contains(desired) {
            return Ok(());
        }
        self.set_armed(poller, index, self.armed | desired)
    }

    /// Asks the poller for nothing but what is wanted.
    fn lower(&mut self, poller: &Poller, index: usize) {
        let desired = self.desired();
        if self.armed != desired {
            // With nothing wanted the socket leaves the set: an end or error would be reported
            // always. A socket that is in the set can be changed and removed.
            let _ = self.set_armed(poller, index, desired);
        }
    }

    fn set_armed(&mut self, poller: &Poller, index: usize, flags: EventFlags) -> Result<(), Errno> {
        let token = Token::Channel(index);
        match (self.armed.is_empty(), flags.is_empty()) {
            (true, _) => poller.add(&self.socket, token, flags)?,
            (false, true) => poller.remove(&self.socket)?,
            (false, false) => poller.modify(&self.socket, token, flags)?,
        }
        self.armed = flags;
        Ok(())
    }

    fn stop_news(&mut self, poller: &Poller) {
        if std::mem::take(&mut self.news) {
            let _ = poller.unwatch(&self.socket);
        }
    }

    /// Leaves the poller's sets.
    pub(crate) fn disarm(&mut self, poller: &Poller, index: usize) {
        if !self.armed.is_empty() {
            let _ = poller.remove(&self.socket);
            self.armed = EventFlags::empty();
        }
        self.stop_news(poller);
        let (outbox, around) = self.outbox_and_around(poller, index);
        outbox.disarm(&around);
    }

    fn desired(&self) -> EventFlags {
        let mut flags = EventFlags::empty();
        let reads = self.wanted && self.inbox.open_fds < self.limits.max_open_fds;
        flags.set(EventFlags::IN | EventFlags::RDHUP, reads);
        flags.set(EventFlags::OUT, self.outbox.wants_writable());
        flags
    }

    fn after_writing(&mut self, batch: &mut Batch<'_>) {
        if self.outbox.take_settled() && self.watched {
            batch.events.push(Event::Progress);
        }
    }

    fn outbox_and_around<'a>(
        &'a mut self,
        poller: &'a Poller,
        channel: usize,
    ) -> (&'a mut Outbox, Surroundings<'a>) {
        let around = Surroundings { socket: &self.socket, poller, channel, limits: &self.limits };
        (&mut self.outbox, around)
    }
}
