//! Whatever is sent over a stream arrives once and in order, each descriptor with its frame.

use std::collections::VecDeque;
use std::io::IoSliceMut;
use std::os::fd::{AsFd, OwnedFd};

use fdwire_channel::{Framing, Limits, OVERHEAD, Payload, Queued, SendError};
use fdwire_socket::{Control, ForeignFd, Stream};
use fdwire_wire::Protocol;

use crate::channel::{Driver, Report, limits};
use crate::input::Input;
use crate::subject::Subject;

/// The most descriptors of one message here.
const MAX_FDS: usize = 3;

/// Sends messages of random sizes, some with descriptors, while the peer reads as much as it likes.
///
/// ```text
/// input  | operation | operands … | operation | operands … | …
/// ```
///
/// # Panics
///
/// If the peer does not get the frames in order, and with each frame its descriptors.
pub(crate) fn outbox(data: &[u8]) {
    let mut input = Input(data);
    let mut exchange = Exchange::new();
    while exchange.step(&mut input).is_some() {}
    exchange.finish();
}

struct Exchange {
    driver: Driver,
    channel: usize,
    subject: Subject,
    peer: Stream,
    control: Control,
    file: OwnedFd,
    /// The frames that the peer has not received yet.
    expected: VecDeque<u8>,
    /// The number of bytes that it has received.
    received: usize,
    /// For each frame with descriptors: the position of its first byte, and their number.
    expected_fds: VecDeque<(usize, usize)>,
    /// The first byte of the next payload, so that frames differ.
    fill: u8,
}

impl Exchange {
    fn new() -> Self {
        let (own, peer) = Stream::pair().expect("a pair");
        let subject = Subject::new(Protocol::LengthPrefixed, false);
        let limits = Limits { high_water_mark: 4_096, max_queued: 300_000, ..limits() };
        let framing = Framing { codec: subject.codec(), text: false, json: false };
        let mut driver = Driver::new().expect("epoll is available");
        let channel = driver.reactor.add_stream(own, false, framing, limits);
        let channel = channel.unwrap_or_else(|(errno, _)| panic!("{errno}"));
        let file = std::fs::File::open("/dev/null").expect("it exists").into();
        let (expected, expected_fds) = (VecDeque::new(), VecDeque::new());
        let control = Control::new();
        Self {
            driver,
            channel,
            subject,
            peer,
            control,
            file,
            expected,
            received: 0,
            expected_fds,
            fill: 0,
        }
    }

    /// Performs the next operation. Returns None if the input has no complete one.
    fn step(&mut self, input: &mut Input<'_>) -> Option<()> {
        match input.byte()? % 8 {
            0 => self.send(input.byte()?, 0),
            1 => self.send(input.number()?, 0),
            2 => self.send(4 * input.number()?, 0),
            3 => self.send(input.byte()?, 1 + input.byte()? % MAX_FDS),
            4 => self.gather(input.byte()? % 32, input.byte()?),
            5 => {
                self.driver.reactor.flush();
            }
            6 => drop(self.read(1 + 2 * input.number()?)),
            _ => self.run(),
        }
        Some(())
    }

    fn payload(&mut self, len: usize) -> Vec<u8> {
        self.fill = self.fill.wrapping_add(1);
        vec![self.fill; len]
    }

    fn send(&mut self, len: usize, fds: usize) {
        let payload = self.payload(len);
        let borrowed = vec![self.file.as_fd(); fds];
        let sent = self.driver.reactor.send(
            self.channel,
            Payload::Borrowed(&payload),
            false,
            &borrowed,
            None,
        );
        match sent {
            Ok(_) => self.expect(&payload, fds),
            Err(SendError::QueueFull) => {}
            Err(error) => panic!("{error:?}"),
        }
    }

    fn gather(&mut self, count: usize, len: usize) {
        let room = self.driver.reactor.channel(self.channel).map_or(0, |channel| channel.room());
        let count = count.min(room / (len + OVERHEAD));
        let payloads: Vec<_> = (0..count).map(|_| self.payload(len)).collect();
        let messages = payloads.iter().map(|payload| (&payload[..], false));
        self.driver.reactor.gather(self.channel, messages).expect("there is room");
        for payload in &payloads {
            self.expect(payload, 0);
        }
    }

    fn expect(&mut self, payload: &[u8], fds: usize) {
        if fds > 0 {
            self.expected_fds.push_back((self.received + self.expected.len(), fds));
        }
        self.expected.extend(self.subject.frame(payload, false));
    }

    /// Receives once at the peer. Returns whether there was anything.
    fn read(&mut self, len: usize) -> bool {
        let (mut buffer, mut fds) = (vec![0; len], Vec::<ForeignFd>::new());
        let into = &mut [IoSliceMut::new(&mut buffer)];
        let Ok(read) = self.peer.recv(into, &mut self.control, &mut fds) else { return false };
        assert!(!read.fds_truncated);
        let bytes: Vec<u8> = self.expected.drain(..read.len.min(self.expected.len())).collect();
        assert!(buffer[..read.len] == bytes, "byte {} and after differ", self.received);
        let range = self.received..self.received + read.len;
        self.received = range.end;
        let mut due = 0;
        while let Some(&(at, count)) = self.expected_fds.front()
            && range.contains(&at)
        {
            self.expected_fds.pop_front();
            due += count;
        }
        assert_eq!(fds.len(), due, "descriptors with bytes {range:?}");
        read.len > 0
    }

    fn run(&mut self) {
        for report in self.driver.run(false) {
            let Report::Other(event) = report else { panic!("the peer sends nothing") };
            assert!(matches!(event, fdwire_channel::Event::Drained(None)), "{event:?}");
        }
    }

    /// Lets the peer read everything.
    fn finish(mut self) {
        self.driver.reactor.flush();
        while !self.expected.is_empty() {
            let any = self.read(1 << 20);
            assert!(any || self.queued().bytes > 0, "bytes are lost");
            self.run();
        }
        assert!(self.expected_fds.is_empty());
        let queued = self.queued();
        assert_eq!((queued.messages, queued.bytes, queued.fds), (0, 0, 0));
    }

    fn queued(&self) -> Queued {
        self.driver.reactor.channel(self.channel).expect("it is open").queued()
    }
}
