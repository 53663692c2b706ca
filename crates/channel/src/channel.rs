//! One datagram channel: a socket, what is wanted of it, its limits and its counters.

use std::io::IoSliceMut;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use fdwire_socket::{Address, Bound, Control, Datagram, Errno};
use fdwire_wire::{Protocol, jsoncomm};

use crate::batch::{Arrival, Batch, Event, Payload, Refusal, Sender};
use crate::outbox::{Outbox, SendError, Sent, Surroundings};
use crate::poll::{EventFlags, Poller, Token};

/// What a channel allows.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The largest message that is received (bytes).
    pub max_message: usize,
    /// The most descriptors that one message may bring.
    pub max_fds: usize,
    /// The most received descriptors that nobody has taken or closed, before reading stops.
    pub max_open_fds: usize,
    /// The most that is queued for one destination (bytes).
    pub max_queued: usize,
    /// The most descriptors that are queued for one destination.
    pub max_queued_fds: usize,
    /// How long a message may wait in a queue (None: for ever).
    pub send_timeout: Option<Duration>,
}

/// What a channel has done, since it was made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Messages that were received whole.
    pub received: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// Their descriptors.
    pub received_fds: u64,
    /// Messages that were refused.
    pub refused: u64,
    /// Messages that the kernel or a queue has taken.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Their descriptors.
    pub sent_fds: u64,
    /// Messages that were queued and then given up.
    pub undelivered: u64,
}

/// Memory that the channels of an environment share while they read.
pub(crate) struct Shared {
    pub(crate) control: Control,
    /// Where the rest of a datagram goes that is larger than the slab has room.
    pub(crate) overflow: Vec<u8>,
    pub(crate) received: Vec<OwnedFd>,
}

/// A datagram socket with the state of its two directions.
pub struct Channel {
    protocol: Protocol,
    limits: Limits,
    connected: bool,
    last_from: Address,
    from: Address,
    wanted: bool,
    open_fds: usize,
    held_told: bool,
    watched: bool,
    outbox: Outbox,
    counters: Counters,
    armed: EventFlags,
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
        let asked = socket.peer_address().and_then(|peer| Ok((peer, socket.send_buffer()?)));
        let (peer, send_buffer) = match asked {
            Ok(answers) => answers,
            Err(errno) => return Err((errno, socket)),
        };
        let connected = peer.is_some();
        let send_buffer = (!connected).then_some(send_buffer);
        Ok(Self {
            protocol,
            limits,
            connected,
            last_from: Address::UNNAMED,
            from: Address::UNNAMED,
            wanted: false,
            open_fds: 0,
            held_told: false,
            watched: false,
            outbox: Outbox::new(send_buffer),
            counters: Counters::default(),
            armed: EventFlags::empty(),
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
        self.counters
    }

    /// Messages, bytes and descriptors that are queued.
    pub fn queued(&self) -> (usize, usize, usize) {
        self.outbox.queued()
    }

    /// Received descriptors that nobody has taken or closed.
    pub fn open_fds(&self) -> usize {
        self.open_fds
    }

    /// Whether everything that was sent is with the kernel.
    pub fn is_flushed(&self) -> bool {
        self.outbox.is_empty()
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

    pub(crate) fn want(&mut self, wanted: bool) {
        self.wanted = wanted;
    }

    pub(crate) fn watch(&mut self, watched: bool) {
        self.watched = watched;
    }

    pub(crate) fn released(&mut self, fds: usize) {
        self.open_fds = self.open_fds.saturating_sub(fds);
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
        if flags.contains(EventFlags::OUT) {
            let (outbox, around) = self.outbox_and_around(poller, index);
            outbox.on_writable(&around, &mut batch.events);
            self.after_writing(batch);
        }
        if self.desired().contains(EventFlags::IN) {
            self.read(shared, batch);
        } else {
            // Nobody wants what is there: stop asking for it, until somebody does.
            self.lower(poller, index);
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
        if self.outbox.is_empty() { None } else { self.outbox.deadline() }
    }

    /// Asks the poller for what is wanted and not asked for yet.
    ///
    /// What is not wanted any more stays asked for until it comes: a consumer that takes one
    /// message after the other would else cost two system calls for each.
    pub(crate) fn arm(&mut self, poller: &Poller, index: usize) -> Result<(), Errno> {
        let desired = self.desired();
        if self.armed.contains(desired) {
            return Ok(());
        }
        let flags = self.armed | desired;
        let token = Token::Channel(index);
        if self.armed.is_empty() {
            poller.add(&self.socket, token, flags)?;
        } else {
            poller.modify(&self.socket, token, flags)?;
        }
        self.armed = flags;
        Ok(())
    }

    /// Asks the poller for nothing but what is wanted.
    fn lower(&mut self, poller: &Poller, index: usize) {
        let desired = self.desired();
        if self.armed == desired {
            return;
        }
        // With nothing wanted the socket leaves the set: an end or error would be reported always.
        // Neither call fails for a socket that is in the set.
        let _ = if desired.is_empty() {
            poller.remove(&self.socket)
        } else {
            poller.modify(&self.socket, Token::Channel(index), desired)
        };
        self.armed = desired;
    }

    /// Leaves the poller's set.
    pub(crate) fn disarm(&mut self, poller: &Poller) {
        if !self.armed.is_empty() {
            let _ = poller.remove(&self.socket);
            self.armed = EventFlags::empty();
        }
    }

    fn desired(&self) -> EventFlags {
        let mut flags = EventFlags::empty();
        flags.set(EventFlags::IN, self.wanted && self.open_fds < self.limits.max_open_fds);
        flags.set(EventFlags::OUT, self.outbox.wants_writable());
        flags
    }

    fn after_writing(&mut self, batch: &mut Batch<'_>) {
        let given_up =
            batch.events.iter().filter(|event| matches!(event, Event::Undelivered(_))).count();
        self.counters.undelivered += given_up as u64;
        if self.outbox.take_settled() && self.watched {
            batch.events.push(Event::Progress);
        }
    }

    fn read(&mut self, shared: &mut Shared, batch: &mut Batch<'_>) {
        while batch.has_room() {
            if self.open_fds >= self.limits.max_open_fds {
                if !self.held_told {
                    self.held_told = true;
                    batch.events.push(Event::FdsHeld);
                }
                return;
            }
            match self.read_one(shared, batch) {
                Ok(()) => {}
                Err(Errno::AGAIN) => return,
                Err(errno) => {
                    batch.events.push(Event::Failed(errno, "recvmsg"));
                    return;
                }
            }
        }
    }

    fn read_one(&mut self, shared: &mut Shared, batch: &mut Batch<'_>) -> Result<(), Errno> {
        let limit = self.limits.max_message;
        let room = batch.room(limit);
        let room_len = room.len();
        let spill = limit - room_len;
        if shared.overflow.len() < spill {
            // Zeroed pages that nobody touches take no memory.
            shared.overflow = vec![0; spill];
        }
        let mut buffers = [room, IoSliceMut::new(&mut shared.overflow[..spill])];
        let used = if spill == 0 { &mut buffers[..1] } else { &mut buffers[..] };
        let received =
            self.socket.recv(used, &mut shared.control, &mut shared.received, &mut self.from)?;
        let shown = received.len.min(room_len);
        let verdict = if received.fds_truncated {
            Err(Refusal::FdsTruncated)
        } else if received.truncated {
            Err(Refusal::TooLarge)
        } else if shared.received.len() > self.limits.max_fds {
            Err(Refusal::TooManyFds)
        } else if received.len > room_len {
            let mut bytes = batch.received(room_len).to_vec();
            bytes.extend_from_slice(&shared.overflow[..received.len - room_len]);
            // The pages that were touched go back to the system.
            shared.overflow = Vec::new();
            self.decode(&bytes).map(|payload| (payload, Some(bytes)))
        } else {
            self.decode(batch.received(received.len)).map(|payload| (payload, None))
        };
        let from = self.name_sender(batch);
        let event = match verdict {
            Ok((payload, large)) => {
                let first = batch.fds.len();
                batch.fds.append(&mut shared.received);
                let fds = first..batch.fds.len();
                self.open_fds += fds.len();
                self.counters.received += 1;
                self.counters.received_bytes += received.len as u64;
                self.counters.received_fds += fds.len() as u64;
                let arrival = Arrival { payload, fds, from };
                match large {
                    Some(bytes) => Event::Large(bytes, arrival),
                    None => Event::Message(batch.keep(received.len), arrival),
                }
            }
            Err(why) => {
                shared.received.clear();
                self.counters.refused += 1;
                Event::Refused(why, batch.keep_sample(shown), from)
            }
        };
        batch.events.push(event);
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Payload, Refusal> {
        match self.protocol {
            Protocol::Jsoncomm => {
                jsoncomm::decode(bytes).map(Payload::from).map_err(Refusal::Malformed)
            }
            Protocol::Raw => Ok(Payload::Bytes),
        }
    }

    fn name_sender(&mut self, batch: &mut Batch<'_>) -> Sender {
        if self.connected {
            Sender::Peer
        } else if self.from.is_unnamed() {
            Sender::Unnamed
        } else if self.from == self.last_from {
            Sender::Same
        } else {
            self.last_from.clone_from(&self.from);
            Sender::Name(batch.keep_name(self.from.as_bytes()))
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
