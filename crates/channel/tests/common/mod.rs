//! What the tests of this crate share: a reactor with its memory, and unique socket names.
#![allow(dead_code, missing_docs, unreachable_pub, unused_imports, clippy::unwrap_used)]

#[path = "../../../socket/tests/common/open_fds.rs"]
mod open_fds;
mod random;

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::IoSliceMut;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use fdwire_channel::{
    Batch, Channel, Counters, Deadline, Event, Framing, Limits, NAMES, Payload, Queued, Reactor,
    Refusal, SendError, Sender, Sent, Span, UndeliveredReason,
};
use fdwire_socket::{Address, Control, Datagram, Errno, ForeignFd, Stream};
use fdwire_wire::Protocol;
use fdwire_wire::codec::{self, Codec, Lost};
pub use open_fds::{first_open_fds, open_fds, wait_for_open_fds};
pub use random::{Random, seeds};

/// Longer than anything in these tests takes, on a busy machine.
pub const TIMEOUT: Duration = Duration::from_secs(20);

pub fn limits() -> Limits {
    Limits {
        max_message: 16 * 1024 * 1024,
        max_fds: 253,
        max_open_fds: 256,
        high_water_mark: 64 * 1024,
        max_queued: 256 * 1024 * 1024,
        max_queued_total: usize::MAX,
        max_queued_fds: 1_024,
        memfd: false,
        send_timeout: Some(Duration::from_secs(30)),
        idle_timeout: None,
        message_timeout: None,
        busy_poll: std::time::Duration::ZERO,
    }
}

/// Returns the framing of a protocol with payloads of bytes.
pub fn framing(protocol: Protocol, limits: &Limits) -> Framing {
    let max_message = limits.max_message;
    let options = codec::Options::new(max_message, false);
    Framing { codec: Codec::new(protocol, options).unwrap(), text: false, json: false }
}

/// Returns a unique abstract name.
pub fn name() -> Address {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    Address::from_bytes(format!("\0fdw-channel-{}-{number}", std::process::id()).as_bytes())
        .unwrap()
}

pub fn bound(name: &Address) -> Datagram {
    let socket = Datagram::new().unwrap();
    socket.bind(name).unwrap();
    socket
}

/// Creates a client as `connect` does: connected, then bound to a name of the kernel's choice,
/// which is returned too.
pub fn client_of(server: &Address) -> (Datagram, Address) {
    let socket = Datagram::new().unwrap();
    socket.connect(server).unwrap();
    socket.bind(&Address::UNNAMED).unwrap();
    let name = socket.local_address().unwrap();
    (socket, name)
}

/// Receives the next message of a socket without a channel.
pub fn recv(socket: &Datagram) -> Option<(Vec<u8>, Vec<ForeignFd>)> {
    thread_local! {
        static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; 300_000]);
    }
    let (mut fds, mut from) = (Vec::new(), Address::UNNAMED);
    BUFFER.with_borrow_mut(|buffer| {
        let into = &mut [IoSliceMut::new(buffer)];
        match socket.recv(into, &mut Control::new(), &mut fds, &mut from) {
            Ok(received) => Some((buffer[..received.len].to_vec(), fds)),
            Err(Errno::AGAIN) => None,
            Err(errno) => panic!("{errno}"),
        }
    })
}

/// Reads from a stream without a channel.
pub fn read(stream: &Stream, into: &mut [u8]) -> usize {
    let into = &mut [IoSliceMut::new(into)];
    stream.recv(into, &mut Control::new(), &mut Vec::new()).unwrap().len
}

/// Returns a message of `len` bytes that begins with its number.
pub fn numbered(number: usize, len: usize) -> Vec<u8> {
    let mut bytes = format!("{number} ").into_bytes();
    bytes.resize(bytes.len().max(len), b'x');
    bytes
}

pub fn number(bytes: &[u8]) -> usize {
    let digits = bytes.iter().position(|&byte| byte == b' ').unwrap();
    std::str::from_utf8(&bytes[..digits]).unwrap().parse().unwrap()
}

/// An event, with copies of its bytes.
#[derive(Debug)]
pub enum Seen {
    Message { channel: usize, bytes: Vec<u8>, fds: Vec<ForeignFd>, from: Option<Vec<u8>> },
    Refused { channel: usize, why: Refusal, sample: Vec<u8> },
    Drained { channel: usize, to: Option<Address> },
    Undelivered { channel: usize, reason: UndeliveredReason, seq: u64, to: Option<Address> },
    Progress,
    FdsHeld,
    Connected { channel: usize },
    Accepted { listener: usize, channel: usize },
    Connections { listener: usize, fds: Vec<ForeignFd> },
    Readable { watched: usize, ended: bool },
    End { channel: usize },
    Cut { channel: usize, missing: usize },
    Lost { channel: usize, why: Lost, sample: Vec<u8> },
    HungUp,
    Late { channel: usize, deadline: Deadline },
    Failed(Errno, &'static str),
}

pub struct Harness {
    pub reactor: Reactor,
    slab: Vec<u8>,
    /// The last named sender of each channel.
    last: HashMap<usize, Vec<u8>>,
    /// How many calls of `run` found something to do.
    pub wakeups: usize,
}

impl Harness {
    pub fn new() -> Self {
        let slab = vec![0; 1024 * 1024 + NAMES];
        let reactor = Reactor::new().unwrap();
        Self { reactor, slab, last: HashMap::new(), wakeups: 0 }
    }

    pub fn add(&mut self, socket: Datagram, limits: Limits) -> usize {
        let channel = Channel::datagram(socket, Protocol::Raw, limits);
        self.reactor.add(channel.unwrap_or_else(|(errno, _)| panic!("{errno}")))
    }

    pub fn add_json(&mut self, socket: Datagram, limits: Limits) -> usize {
        let channel = Channel::datagram(socket, Protocol::Jsoncomm, limits);
        self.reactor.add(channel.unwrap_or_else(|(errno, _)| panic!("{errno}")))
    }

    /// Adds a channel over a stream with payloads of bytes.
    pub fn add_stream(&mut self, socket: Stream, protocol: Protocol, limits: Limits) -> usize {
        let framing = framing(protocol, &limits);
        let added = self.reactor.add_stream(socket, false, framing, limits);
        added.unwrap_or_else(|(errno, _)| panic!("{errno}"))
    }

    pub fn send(&mut self, channel: usize, bytes: &[u8], to: Option<&Address>) -> Sent {
        self.reactor.send(channel, Payload::Borrowed(bytes), false, &[], to).unwrap()
    }

    pub fn try_send(
        &mut self,
        channel: usize,
        bytes: &[u8],
        fds: &[BorrowedFd<'_>],
        to: Option<&Address>,
    ) -> Result<Sent, SendError> {
        self.reactor.send(channel, Payload::Borrowed(bytes), false, fds, to)
    }

    pub fn counters(&self, channel: usize) -> Counters {
        self.reactor.channel(channel).unwrap().counters()
    }

    pub fn queued(&self, channel: usize) -> (usize, usize, usize) {
        let Queued { messages, bytes, fds } = self.reactor.channel(channel).unwrap().queued();
        (messages, bytes, fds)
    }

    /// Handles the readiness of all channels, after at most `timeout`.
    pub fn run(&mut self, timeout: Duration) -> Vec<Seen> {
        self.reactor.poll(timeout).unwrap();
        let mut seen = Vec::new();
        let mut any = false;
        while let Some(turn) = self.turn() {
            any = true;
            seen.extend(turn);
        }
        self.wakeups += usize::from(any);
        seen
    }

    /// Runs turns until no channel has anything to do.
    pub fn turns(&mut self) -> Vec<Seen> {
        std::iter::from_fn(|| self.turn()).flatten().collect()
    }

    /// Runs one turn, if a channel has something to do.
    pub fn turn(&mut self) -> Option<Vec<Seen>> {
        Some(self.turn_of_channel()?.1)
    }

    /// Does the same, and also returns the channel.
    pub fn turn_of_channel(&mut self) -> Option<(usize, Vec<Seen>)> {
        let mut seen = Vec::new();
        let mut batch = Batch::new(&mut self.slab, Vec::new(), Vec::new(), Vec::new());
        let channel = self.reactor.turn(&mut batch)?;
        observe(&batch, channel, &mut self.last, &mut seen);
        assert_layout(&batch);
        let mut fds: Vec<_> = std::mem::take(&mut batch.fds);
        // From the last to the first, so that the other indices stay valid.
        let mut seen_from_last = seen.iter_mut().rev();
        for event in batch.events.iter().rev() {
            if let Event::Messages(spans) = event {
                seen_from_last.nth(spans.len() - 1);
                continue;
            }
            match (seen_from_last.next(), event) {
                (
                    Some(Seen::Message { fds: own, .. }),
                    Event::Message(_, message) | Event::Large(_, _, message),
                ) => *own = fds.split_off(message.fds.start),
                (Some(Seen::Connections { fds: own, .. }), Event::Connections(at)) => {
                    *own = fds.split_off(at.start);
                }
                _ => {}
            }
        }
        assert!(fds.is_empty());
        Some((channel, seen))
    }

    /// Runs until `done` returns true.
    ///
    /// # Panics
    ///
    /// After [`TIMEOUT`].
    pub fn run_until(&mut self, mut done: impl FnMut(&mut Self, Vec<Seen>) -> bool) {
        let end = Instant::now() + TIMEOUT;
        loop {
            let seen = self.run(Duration::from_millis(5));
            if done(self, seen) {
                return;
            }
            assert!(Instant::now() < end, "too slow");
        }
    }

    /// Returns the number of wakeups within `time`.
    pub fn wakeups_in(&mut self, time: Duration) -> usize {
        let (before, end) = (self.wakeups, Instant::now() + time);
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.run(left);
        }
        self.wakeups - before
    }
}

fn observe(
    batch: &Batch<'_>,
    channel: usize,
    last: &mut HashMap<usize, Vec<u8>>,
    seen: &mut Vec<Seen>,
) {
    let bytes_of = |span: usize| batch.bytes(batch.spans[span].range()).to_vec();
    for event in &batch.events {
        seen.push(match event {
            Event::Messages(spans) => {
                seen.extend(spans.clone().map(|span| Seen::Message {
                    channel,
                    bytes: bytes_of(span),
                    fds: Vec::new(),
                    from: None,
                }));
                continue;
            }
            Event::Message(span, message) => {
                let from = from(batch, &message.from, channel, last);
                Seen::Message { channel, bytes: bytes_of(*span), fds: Vec::new(), from }
            }
            Event::Large(bytes, at, message) => {
                let from = from(batch, &message.from, channel, last);
                Seen::Message { channel, bytes: bytes[at.clone()].to_vec(), fds: Vec::new(), from }
            }
            Event::Refused(why, sample, _) => {
                let sample = batch.bytes(sample.clone()).to_vec();
                Seen::Refused { channel, why: *why, sample }
            }
            Event::Drained(to) => Seen::Drained { channel, to: to.clone() },
            Event::Undelivered(message) => Seen::Undelivered {
                channel,
                reason: message.reason,
                seq: message.seq,
                to: message.to.clone(),
            },
            Event::Progress => Seen::Progress,
            Event::FdsHeld => Seen::FdsHeld,
            Event::Connected => Seen::Connected { channel },
            Event::Accepted(accepted) => Seen::Accepted { listener: channel, channel: *accepted },
            Event::Connections(_) => Seen::Connections { listener: channel, fds: Vec::new() },
            Event::Readable(ended) => Seen::Readable { watched: channel, ended: *ended },
            Event::End => Seen::End { channel },
            Event::Cut(missing) => Seen::Cut { channel, missing: *missing },
            Event::Lost(why, sample) => {
                Seen::Lost { channel, why: *why, sample: batch.bytes(sample.clone()).to_vec() }
            }
            Event::HungUp => Seen::HungUp,
            Event::Late(deadline) => Seen::Late { channel, deadline: *deadline },
            Event::Failed(errno, syscall) => Seen::Failed(*errno, syscall),
        });
    }
}

/// Checks that the bytes before and after each message in the slab belong to no other message, and
/// that the messages lie in order within the used part.
fn assert_layout(batch: &Batch<'_>) {
    let mut end = 0;
    for at in batch.spans.iter().map(Span::range) {
        assert!(at.start > end, "{at:?} follows {end}");
        end = at.end;
    }
    assert!(end <= batch.used(), "{end} of {}", batch.used());
}

fn from(
    batch: &Batch<'_>,
    sender: &Sender,
    channel: usize,
    last: &mut HashMap<usize, Vec<u8>>,
) -> Option<Vec<u8>> {
    match sender {
        Sender::Peer | Sender::Unnamed => return None,
        Sender::Same => {}
        Sender::Address(at) => {
            last.insert(channel, batch.bytes(at.clone()).to_vec());
        }
    }
    last.get(&channel).cloned()
}
