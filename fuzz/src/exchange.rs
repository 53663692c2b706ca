//! An exchange between two channels in one process, while a system call of it may fail.
//!
//! `tests/errnos.rs` runs it under strace, which makes one call return an error. Then the exchange
//! still completes, or a function or channel reports that error. Either way nothing stays open.

use std::collections::VecDeque;
use std::fs;
use std::io::{PipeReader, PipeWriter, pipe};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use fdwire_channel::{Channel, Connection, Event, Framing, Listening, Payload, Refusal, SendError};
use fdwire_socket::{
    Address, Binding, Datagram, Errno, ForeignFd, Listener, SocketAddress, SocketSetup, SocketType,
    Stream, Unlink,
};
use fdwire_wire::Protocol;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;

use crate::channel::{Driver, Report, limits};
use crate::subject::Subject;

/// The kinds of sockets, as the first argument of the program.
pub const KINDS: [&str; 5] = ["stream", "stream-pair", "seqpacket", "dgram", "dgram-pair"];

/// The text that the program writes before the first call that may fail.
pub const START: &str = "start\n";

/// The text that the program writes after the last one.
pub const END: &str = "end\n";

/// How long a closing thread may take to close the last descriptor, in seconds.
const CLOSING: i64 = 20;

/// Runs an exchange over a kind of socket. Returns the error that has ended it, if one has.
///
/// # Panics
///
/// If a message is lost or wrong although no error was reported, or if a descriptor stays open.
pub fn exchange(kind: &str, folder: &Path) -> Option<Errno> {
    let (reader, writer) = pipe().expect("a pipe");
    let ended = match Exchange::open(kind, folder, writer) {
        Ok(mut exchange) => exchange.run().err(),
        Err(errno) => Some(errno),
    };
    wait_for_hangup(&reader);
    ended
}

/// Returns the number of open descriptors of this process.
///
/// # Panics
///
/// If `/proc` is not mounted.
#[must_use]
pub fn open_fds() -> usize {
    fs::read_dir("/proc/self/fd").expect("/proc is mounted").count()
}

fn wait_for_hangup(reader: &PipeReader) {
    let mut ready = [PollFd::new(reader, PollFlags::IN)];
    let timeout = Timespec { tv_sec: CLOSING, tv_nsec: 0 };
    retry_on_intr(|| poll(&mut ready, Some(&timeout))).expect("poll succeeds");
    assert!(ready[0].revents().contains(PollFlags::HUP), "a descriptor is still open");
}

struct Exchange {
    driver: Driver,
    /// The two channels. The client of a datagram server is the second.
    channels: [usize; 2],
    kind: SocketType,
    /// Where the first channel sends to; None: its peer.
    to: Option<Address>,
    writer: PipeWriter,
    /// The payloads that each channel has yet to receive, and the number of their descriptors.
    expected: [VecDeque<(Vec<u8>, usize)>; 2],
    fds: Vec<ForeignFd>,
}

impl Exchange {
    fn open(kind: &str, folder: &Path, writer: PipeWriter) -> Result<Self, Errno> {
        let mut driver = Driver::new()?;
        let path = folder.join(format!("{kind}-{}", std::process::id()));
        let address = |path: &PathBuf| Address::from_bytes(path.as_os_str().as_encoded_bytes());
        let address = address(&path).expect("the path is short");
        let (kind, to, channels) = match kind {
            "stream" => (SocketType::STREAM, None, connected(&mut driver, &address)?),
            "stream-pair" => {
                let (one, other) = Stream::pair()?;
                let channels = [add_stream(&mut driver, one)?, add_stream(&mut driver, other)?];
                (SocketType::STREAM, None, channels)
            }
            "seqpacket" => {
                let (one, other) = Datagram::seqpacket_pair()?;
                let channels = [add_datagram(&mut driver, one)?, add_datagram(&mut driver, other)?];
                (SocketType::SEQPACKET, None, channels)
            }
            "dgram-pair" => {
                let (one, other) = Datagram::pair()?;
                let channels = [add_datagram(&mut driver, one)?, add_datagram(&mut driver, other)?];
                (SocketType::DGRAM, None, channels)
            }
            _ => {
                let mut server = Datagram::new()?;
                server.bind_to(&binding(&address)).map_err(|error| error.errno)?;
                let client = Datagram::new()?;
                client.connect(&address)?;
                client.bind(&Address::UNNAMED)?;
                let name = client.local_address()?;
                let channels =
                    [add_datagram(&mut driver, server)?, add_datagram(&mut driver, client)?];
                (SocketType::DGRAM, Some(name), channels)
            }
        };
        for channel in channels {
            driver.reactor.set_reading(channel, true);
        }
        let (expected, fds) = ([VecDeque::new(), VecDeque::new()], Vec::new());
        Ok(Self { driver, channels, kind, to, writer, expected, fds })
    }

    fn run(&mut self) -> Result<(), Errno> {
        let large = if self.kind == SocketType::STREAM { 600_000 } else { 60_000 };
        for from in [0, 1] {
            for (len, fds) in [(10, 0), (1, 2), (large, 0), (20, 1), (large, 0), (30, 0)] {
                self.send(from, len, fds)?;
            }
            self.driver.reactor.flush();
        }
        while self.expected.iter().any(|expected| !expected.is_empty()) {
            self.receive()?;
        }
        if self.kind != SocketType::DGRAM {
            self.driver.reactor.finish(self.channels[0]);
            while !self.receive()? {}
        }
        Ok(())
    }

    fn send(&mut self, from: usize, len: usize, fds: usize) -> Result<(), Errno> {
        let payload = vec![u8::try_from(len % 251).unwrap_or(0); len];
        let borrowed = vec![self.writer.as_fd(); fds];
        let to = self.to.as_ref().filter(|_| from == 0);
        let sent = self.driver.reactor.send(
            self.channels[from],
            Payload::Borrowed(&payload),
            false,
            &borrowed,
            to,
        );
        match sent {
            Ok(_) => self.expected[1 - from].push_back((payload, fds)),
            Err(SendError::Refused(errno)) => return Err(errno),
            Err(error) => panic!("{error:?}"),
        }
        Ok(())
    }

    /// Runs turns. Returns whether the peer's end has arrived.
    fn receive(&mut self) -> Result<bool, Errno> {
        let (reports, mut ended) = (self.driver.try_run(true)?, false);
        assert!(!reports.is_empty(), "nothing arrives");
        for (channel, report) in reports {
            let at = self.channels.iter().position(|&one| one == channel).expect("a channel");
            match report {
                Report::Message(message) => {
                    let (bytes, fds) = self.expected[at].pop_front().expect("it was sent");
                    assert!(message.bytes == bytes, "{} of {}", message.bytes.len(), bytes.len());
                    assert_eq!(message.fds.len(), fds);
                    self.fds.extend(message.fds);
                }
                Report::Other(Event::Failed(errno, _)) => return Err(errno),
                Report::Other(Event::Undelivered(message)) => match message.reason {
                    fdwire_channel::UndeliveredReason::Refused(errno) => return Err(errno),
                    expired => panic!("{expired:?}"),
                },
                Report::Other(Event::End) => ended = true,
                Report::Other(Event::Drained(_) | Event::Progress) => {}
                Report::Other(Event::Refused(Refusal::FdsTruncated, ..)) => panic!("truncated"),
                Report::Other(other) => panic!("{other:?}"),
            }
        }
        Ok(ended)
    }
}

fn binding(address: &Address) -> Binding<'_> {
    Binding { address, mode: 0o600, unlink: Unlink::Stale }
}

/// Connects to a listener of the same reactor. Returns both ends.
fn connected(driver: &mut Driver, address: &Address) -> Result<[usize; 2], Errno> {
    let setup = SocketSetup::default();
    let listener = Listener::listen_unix(&binding(address), SocketType::STREAM, 8, &setup);
    let connection = Connection::Stream(framing());
    let listening = Listening::new(listener.map_err(|error| error.errno)?, connection, limits());
    let listener = driver.reactor.add_listener(listening);
    driver.reactor.allow(listener, 1);
    let peer = SocketAddress::Unix(address.clone());
    let connect = Stream::connect(&peer, None, &setup).map_err(|error| error.errno)?;
    let client = add_stream(driver, connect.stream)?;
    match driver.try_run(true)?.pop() {
        Some((_, Report::Other(Event::Accepted(server)))) => Ok([server, client]),
        Some((_, Report::Other(Event::Failed(errno, _)))) => Err(errno),
        Some((_, Report::Other(other))) => panic!("{other:?}"),
        Some((_, Report::Message(_))) => panic!("nothing was sent"),
        None => panic!("no connection arrives"),
    }
}

fn framing() -> Framing {
    let codec = Subject::new(Protocol::LengthPrefixed, false).codec();
    Framing { codec, text: false, json: false }
}

fn add_stream(driver: &mut Driver, socket: Stream) -> Result<usize, Errno> {
    driver.reactor.add_stream(socket, false, framing(), limits()).map_err(|(errno, _)| errno)
}

fn add_datagram(driver: &mut Driver, socket: Datagram) -> Result<usize, Errno> {
    let channel = Channel::datagram(socket, Protocol::Raw, limits());
    Ok(driver.reactor.add(channel.map_err(|(errno, _)| errno)?))
}
