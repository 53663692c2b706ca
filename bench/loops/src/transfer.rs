//! The loop of a whole channel: frames are gathered, sent over a socketpair, received and decoded.

use std::time::Duration;

use fdwire_channel::{Batch, Event, Framing, Limits, NAMES, Reactor, Span};
use fdwire_socket::{Errno, ForeignFd, Stream};
use fdwire_wire::Protocol;
use fdwire_wire::codec::{Codec, Options};

use crate::{RING, payload};

/// Size of the memory for received messages (bytes): as much as the addon has.
const SLAB: usize = 1024 * 1024;

/// Two channels of one thread that are connected to each other.
pub struct Transfer {
    reactor: Reactor,
    sender: usize,
    payloads: Vec<Vec<u8>>,
    slab: Vec<u8>,
    events: Vec<Event>,
    spans: Vec<Span>,
    fds: Vec<ForeignFd>,
}

impl Transfer {
    /// Connects two channels with `length_prefixed` texts of `size` bytes.
    ///
    /// # Errors
    ///
    /// Those of socketpair and of epoll.
    pub fn new(size: usize) -> Result<Self, Errno> {
        let mut reactor = Reactor::new()?;
        let (ours, theirs) = Stream::pair()?;
        let [sender, receiver] = [ours, theirs].map(|socket| {
            reactor.add_stream(socket, false, framing(), limits()).map_err(|(errno, _)| errno)
        });
        let (sender, receiver) = (sender?, receiver?);
        reactor.set_reading(receiver, true);
        let payloads = (0..RING).map(|i| payload(i, size)).collect();
        let slab = vec![0; SLAB + NAMES];
        let (events, spans, fds) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { reactor, sender, payloads, slab, events, spans, fds })
    }

    /// Sends each message once and receives it. Returns how many arrived.
    pub fn pass(&mut self) -> usize {
        let messages = self.payloads.iter().map(|payload| (payload.as_slice(), true));
        if self.reactor.gather(self.sender, messages).is_err() {
            return 0;
        }
        self.reactor.flush();
        let mut arrived = 0;
        while arrived < RING && self.reactor.poll(Duration::from_secs(1)).is_ok() {
            arrived += self.receive();
        }
        arrived
    }

    /// Runs the turns of the channels that are ready. Returns the number of messages.
    fn receive(&mut self) -> usize {
        let mut arrived = 0;
        loop {
            let events = std::mem::take(&mut self.events);
            let spans = std::mem::take(&mut self.spans);
            let fds = std::mem::take(&mut self.fds);
            let mut batch = Batch::new(&mut self.slab, events, spans, fds);
            let turn = self.reactor.turn(&mut batch);
            arrived += batch.spans.len();
            (self.events, self.spans, self.fds) = (batch.events, batch.spans, batch.fds);
            if turn.is_none() {
                return arrived;
            }
        }
    }
}

fn framing() -> Framing {
    let max_message = limits().max_message;
    let options = Options::new(max_message, true);
    let codec = Codec::new(Protocol::LengthPrefixed, options);
    Framing { codec: codec.expect("length_prefixed is for streams"), text: true, json: false }
}

/// The defaults of the options.
fn limits() -> Limits {
    Limits {
        max_message: 16 * 1024 * 1024,
        max_fds: 0,
        max_open_fds: 256,
        high_water_mark: 64 * 1024,
        max_queued: 32 * 1024 * 1024,
        max_queued_total: usize::MAX,
        max_queued_fds: 1024,
        memfd: false,
        send_timeout: None,
        idle_timeout: None,
        message_timeout: None,
        busy_poll: Duration::ZERO,
    }
}
