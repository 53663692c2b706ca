//! One channel: what is wanted of it, what it allows and counts, and the socket that it works on.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Instant;

use fdwire_socket::{Address, Bound, Datagram, Errno, Stream, peer_pidfd};
use fdwire_wire::Protocol;

use crate::batch::{Batch, Event};
use crate::datagram::Datagrams;
use crate::interest::Interest;
use crate::limits::{Counters, Limits, Meter};
use crate::poll::{EventFlags, Token};
use crate::send::{SendError, Sent};
use crate::stream::{Framing, Payload, Spare, Streams};
use crate::{Shared, Site};

/// A socket with the state of its two directions.
pub struct Channel {
    meter: Meter,
    wanted: bool,
    watched: bool,
    /// Whether texts are JSON.
    json: bool,
    interest: Interest,
    /// The process at the other end, once somebody has asked for it.
    pidfd: Option<OwnedFd>,
    /// When the reactor will call `on_time`.
    pub(crate) scheduled: Option<Instant>,
    transport: Transport,
}

/// How messages travel.
enum Transport {
    Datagram(Box<Datagrams>),
    Stream(Box<Streams>),
}

impl Transport {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Datagram(datagrams) => Some(datagrams.socket.as_fd()),
            Self::Stream(streams) => streams.socket.as_ref().map(AsFd::as_fd),
        }
    }
}

impl Channel {
    /// A channel over a datagram socket, which was bound by `bound` where it has a path.
    ///
    /// # Errors
    ///
    /// When the socket can't be asked what it is; it is given back.
    pub fn datagram(
        socket: Datagram,
        bound: Option<Bound>,
        protocol: Protocol,
        limits: Limits,
    ) -> Result<Self, (Errno, Datagram)> {
        let datagrams = Datagrams::new(socket, bound, protocol)?;
        let json = protocol == Protocol::Jsoncomm;
        Ok(Self::new(Transport::Datagram(Box::new(datagrams)), json, limits))
    }

    /// A channel over a stream; `connecting`: it tells by an event when it is connected.
    ///
    /// Without a socket the bytes come by [`feed`](crate::Reactor::feed) and go by
    /// [`fetch`](crate::Reactor::fetch).
    pub(crate) fn stream(
        socket: Option<Stream>,
        connecting: bool,
        framing: Framing,
        limits: Limits,
        spare: Rc<Spare>,
    ) -> Self {
        let json = framing.json;
        let streams = Streams::new(socket, connecting, framing, spare);
        Self::new(Transport::Stream(Box::new(streams)), json, limits)
    }

    fn new(transport: Transport, json: bool, limits: Limits) -> Self {
        Self {
            meter: Meter::new(limits),
            wanted: false,
            watched: false,
            json,
            interest: Interest::NONE,
            pidfd: None,
            scheduled: None,
            transport,
        }
    }

    /// Whether the texts that the channel receives are JSON.
    pub fn receives_json(&self) -> bool {
        self.json
    }

    /// The socket's descriptor, where there is a socket.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.transport.fd()
    }

    /// Whether the descriptor with this number is the channel's.
    pub(crate) fn owns(&self, number: i32) -> bool {
        let pidfd = self.pidfd.as_ref().map(AsFd::as_fd);
        self.fd().into_iter().chain(pidfd).any(|fd| fd.as_raw_fd() == number)
    }

    /// A descriptor of the process at the other end, which the channel keeps as long as it lives.
    pub(crate) fn peer_pidfd(&mut self) -> Result<BorrowedFd<'_>, Errno> {
        let opened = match self.pidfd.take() {
            Some(pidfd) => pidfd,
            None => peer_pidfd(self.fd().ok_or(Errno::NOTSOCK)?)?,
        };
        Ok(OwnedFd::as_fd(self.pidfd.insert(opened)))
    }

    /// Whether the socket has one peer, so that messages go to nobody else.
    pub fn connected(&self) -> bool {
        match &self.transport {
            Transport::Datagram(datagrams) => datagrams.connected,
            Transport::Stream(_) => true,
        }
    }

    /// The socket, where it is a stream.
    pub fn stream_socket(&self) -> Option<&Stream> {
        match &self.transport {
            Transport::Stream(streams) => streams.socket.as_ref(),
            Transport::Datagram(_) => None,
        }
    }

    /// The socket, where it is for datagrams.
    pub fn datagram_socket(&self) -> Option<&Datagram> {
        match &self.transport {
            Transport::Datagram(datagrams) => Some(&datagrams.socket),
            Transport::Stream(_) => None,
        }
    }

    /// What was done so far.
    pub fn counters(&self) -> Counters {
        let undelivered = match &self.transport {
            Transport::Datagram(datagrams) => datagrams.outbox.undelivered(),
            Transport::Stream(_) => 0,
        };
        Counters { undelivered, ..self.meter.counters }
    }

    /// Messages, bytes and descriptors that are queued.
    pub fn queued(&self) -> (usize, usize, usize) {
        match &self.transport {
            Transport::Datagram(datagrams) => datagrams.outbox.queued(),
            Transport::Stream(streams) => streams.outbox.queued(),
        }
    }

    /// Received descriptors that nobody has taken or closed.
    pub fn open_fds(&self) -> usize {
        self.meter.open_fds
    }

    /// Bytes that were read and are no message yet.
    pub fn in_hand(&self) -> usize {
        match &self.transport {
            Transport::Datagram(_) => 0,
            Transport::Stream(streams) => streams.in_hand(),
        }
    }

    /// The number of the oldest queued message, and of the next one to be queued; of a stream, the
    /// places of the first byte that is queued and of the next.
    pub fn seqs(&self) -> (Option<u64>, u64) {
        match &self.transport {
            Transport::Datagram(datagrams) => datagrams.outbox.seqs(),
            Transport::Stream(streams) => streams.outbox.seqs(),
        }
    }

    /// Gives the descriptor away; its name, if it has one, stays.
    pub fn into_fd(self) -> Option<OwnedFd> {
        match self.transport {
            Transport::Datagram(datagrams) => Some(datagrams.into_socket().into_fd()),
            Transport::Stream(streams) => streams.socket.map(Stream::into_fd),
        }
    }

    /// Gives the socket away, where it is a stream.
    pub(crate) fn into_stream(self) -> Option<Stream> {
        match self.transport {
            Transport::Stream(streams) => streams.socket,
            Transport::Datagram(_) => None,
        }
    }

    /// Removes the name now, if it is a path that we bound; the socket stays.
    pub(crate) fn unlink(&mut self) {
        if let Transport::Datagram(datagrams) = &mut self.transport {
            datagrams.unlink();
        }
    }

    pub(crate) fn want(&mut self, wanted: bool) {
        self.wanted = wanted;
    }

    pub(crate) fn watch(&mut self, watched: bool) {
        self.watched = watched;
    }

    pub(crate) fn released(&mut self, fds: usize) {
        self.meter.open_fds = self.meter.open_fds.saturating_sub(fds);
    }

    /// Sends a message; whether the reactor has to flush it later.
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
                let bytes = payload.bytes();
                (datagrams.send(site, &self.meter.limits, bytes, fds, to)?, false)
            }
            Transport::Stream(streams) => {
                let sent = streams.send(&self.meter.limits, payload, text, fds)?;
                (sent, streams.list())
            }
        };
        self.meter.sent(len, fds.len());
        Ok((sent, unlisted))
    }

    /// Lets `write` write a text into the outbox of a stream: it gets the memory and how many bytes of
    /// it to leave free, and says how many it has written. As `send`; None where that was nothing.
    #[inline]
    pub(crate) fn send_written(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>, usize) -> Option<usize>,
    ) -> Option<Result<(Sent, bool), SendError>> {
        let Transport::Stream(streams) = &mut self.transport else { return None };
        let limits = &self.meter.limits;
        let (memory, headroom) = streams.open(limits)?;
        let start = memory.len();
        let len = write(memory, headroom)?;
        let sent = match streams.close(limits, start) {
            Ok(sent) => sent,
            Err(error) => return Some(Err(error)),
        };
        let unlisted = streams.list();
        self.meter.sent(len, 0);
        Some(Ok((sent, unlisted)))
    }

    /// Ends our side as soon as all is sent.
    pub(crate) fn finish(&mut self) {
        match &mut self.transport {
            Transport::Datagram(datagrams) => datagrams.finish(),
            Transport::Stream(streams) => streams.finish(),
        }
    }

    /// Drops what is there, so that closing is no reset for the peer.
    pub(crate) fn discard_now(&mut self, shared: &mut Shared) {
        match &mut self.transport {
            Transport::Datagram(datagrams) => datagrams.discard_now(shared),
            Transport::Stream(streams) => streams.discard_now(shared),
        }
    }

    /// Works on the stream, where it is one.
    pub(crate) fn with_stream<T>(
        &mut self,
        work: impl FnOnce(&mut Streams, &mut Meter) -> T,
    ) -> Option<T> {
        match &mut self.transport {
            Transport::Stream(streams) => Some(work(streams, &mut self.meter)),
            Transport::Datagram(_) => None,
        }
    }

    /// Works off a readiness of the socket.
    pub(crate) fn on_ready(
        &mut self,
        site: Site<'_>,
        flags: EventFlags,
        shared: &mut Shared,
        batch: &mut Batch<'_>,
    ) {
        let (desired, reads) = (self.desired(), self.reads());
        let meter = &mut self.meter;
        match &mut self.transport {
            Transport::Datagram(datagrams) => {
                datagrams.on_ready(site, flags, reads, meter, shared, batch);
            }
            Transport::Stream(streams) => streams.on_ready(flags, reads, meter, shared, batch),
        }
        self.after_writing(batch);
        // Something came that nobody wanted: stop asking for it, until somebody does. It is looked at
        // as it was before, since who has just been told of an empty queue fills it again, mostly.
        let came = flags & (EventFlags::IN | EventFlags::RDHUP);
        let told = came | flags & EventFlags::OUT;
        let now = self.desired();
        // An end that was just read would be reported for ever.
        if desired.is_empty() || !desired.contains(told) || now.is_empty() || !now.contains(came) {
            self.lower(site);
        }
    }

    /// Works off the news that somebody has received a datagram.
    pub(crate) fn on_news(&mut self, site: Site<'_>, batch: &mut Batch<'_>) {
        if let Transport::Datagram(datagrams) = &mut self.transport {
            datagrams.on_news(site, &self.meter.limits, batch);
        }
        self.after_writing(batch);
    }

    pub(crate) fn on_receiver(&mut self, site: Site<'_>, lane: usize, batch: &mut Batch<'_>) {
        if let Transport::Datagram(datagrams) = &mut self.transport {
            datagrams.on_receiver(site, &self.meter.limits, lane, batch);
        }
        self.after_writing(batch);
    }

    pub(crate) fn on_time(
        &mut self,
        site: Site<'_>,
        now: Instant,
        shared: &mut Shared,
        batch: &mut Batch<'_>,
    ) {
        let reads = self.reads();
        let meter = &mut self.meter;
        match &mut self.transport {
            Transport::Datagram(datagrams) => datagrams.on_time(site, &meter.limits, now, batch),
            Transport::Stream(streams) => {
                streams.on_time(now, meter, batch);
                if streams.is_due(reads) {
                    streams.read(meter, shared, batch);
                }
            }
        }
        self.after_writing(batch);
    }

    /// One non-blocking attempt for everything that is queued.
    pub(crate) fn try_all(&mut self, site: Site<'_>) {
        match &mut self.transport {
            Transport::Datagram(datagrams) => datagrams.try_all(site, &self.meter.limits),
            Transport::Stream(streams) => streams.flush(),
        }
    }

    /// Whether there is something to tell without a readiness, and somebody wants it.
    #[must_use]
    pub fn is_due(&self) -> bool {
        match &self.transport {
            Transport::Datagram(_) => false,
            Transport::Stream(streams) => streams.is_due(self.reads()),
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.transport {
            Transport::Datagram(datagrams) => datagrams.outbox.deadline(),
            Transport::Stream(_) if self.is_due() => Some(Instant::now()),
            Transport::Stream(streams) => streams.outbox.deadline(),
        }
    }

    /// Asks the poller for what is wanted and not asked for yet.
    pub(crate) fn arm(&mut self, site: Site<'_>) -> Result<(), Errno> {
        if let Transport::Datagram(datagrams) = &mut self.transport {
            datagrams.watch_news(site);
        }
        let asked = self.raise(site);
        if asked.is_err()
            && let Transport::Datagram(datagrams) = &mut self.transport
            && datagrams.outbox.wants_writable()
        {
            // A queued message is taken, come what may.
            datagrams.outbox.without_polling(Instant::now());
            return self.raise(site);
        }
        asked
    }

    /// Leaves the poller's sets.
    pub(crate) fn disarm(&mut self, site: Site<'_>) {
        let Self { transport, interest, meter, .. } = self;
        if let Some(fd) = transport.fd() {
            interest.clear(site.poller, fd);
        }
        if let Transport::Datagram(datagrams) = transport {
            datagrams.disarm(site, &meter.limits);
        }
    }

    fn raise(&mut self, site: Site<'_>) -> Result<(), Errno> {
        let (desired, token) = (self.desired(), Token::Channel(site.index));
        let Self { transport, interest, .. } = self;
        transport.fd().map_or(Ok(()), |fd| interest.raise(site.poller, fd, token, desired))
    }

    fn lower(&mut self, site: Site<'_>) {
        let (desired, token) = (self.desired(), Token::Channel(site.index));
        let Self { transport, interest, .. } = self;
        if let Some(fd) = transport.fd() {
            interest.lower(site.poller, fd, token, desired);
        }
    }

    fn reads(&self) -> bool {
        self.wanted && !self.meter.holds_fds()
    }

    fn desired(&self) -> EventFlags {
        let reads = self.reads();
        match &self.transport {
            Transport::Datagram(datagrams) => datagrams.desired(reads),
            Transport::Stream(streams) => streams.desired(reads),
        }
    }

    fn after_writing(&mut self, batch: &mut Batch<'_>) {
        let settled = match &mut self.transport {
            Transport::Datagram(datagrams) => datagrams.outbox.take_settled(),
            Transport::Stream(streams) => streams.outbox.take_settled(),
        };
        if settled && self.watched {
            batch.events.push(Event::Progress);
        }
    }
}
