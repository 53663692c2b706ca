//! An exchange between two channels in one process, while a system call of it may fail.
//!
//! `tests/errnos.rs` runs it under strace, which makes one call return an error. Then the exchange
//! still completes, or a function or channel reports that error. Either way nothing stays open.

use std::collections::VecDeque;
use std::fs;
use std::io::{PipeReader, PipeWriter, Read, pipe};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use fdwire_channel::{
    Channel, Connection, Event, Framing, Limits, Listening, Payload, Refusal, SendError,
};
use fdwire_socket::{
    Address, Binding, Datagram, Errno, ForeignFd, Listener, SocketSetup, SocketType, Stream,
    SyscallError, Unlink,
};
use fdwire_wire::Protocol;

use crate::channel::{Driver, Report, limits};
use crate::operations;
use crate::subject::Subject;

/// What is run, as the first argument of the program: exchanges over kinds of sockets, and what
/// `operations.rs` does. `memfd` sends large messages in memfds.
pub const KINDS: [&str; 10] = [
    "stream",
    "stream-pair",
    "tcp",
    "seqpacket",
    "memfd",
    "dgram",
    "dgram-pair",
    "paths",
    "files",
    "adopted",
];

/// The text that the program writes before the first call that may fail.
pub const START: &str = "start\n";

/// The text that the program writes after the last one.
pub const END: &str = "end\n";

/// Why an exchange has not completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A function or channel has reported this error.
    Errno(Errno),
    /// The peer has refused a message or a connection, which does not say why.
    Refused,
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl From<SyscallError> for Failure {
    fn from(error: SyscallError) -> Self {
        Self::Errno(error.errno)
    }
}

/// Runs one of [`KINDS`]. Returns why it has not completed.
///
/// # Panics
///
/// If a message is lost or wrong although no error was reported. Waits for ever if a descriptor stays open.
#[must_use]
pub fn exchange(kind: &str, folder: &Path) -> Option<Failure> {
    let (reader, writer) = pipe().expect("a pipe");
    let result = match kind {
        "paths" => {
            drop(writer);
            operations::paths(folder)
        }
        "files" => operations::files(writer),
        "adopted" => operations::adopted(writer),
        _ => Exchange::open(kind, folder, writer).and_then(|mut exchange| exchange.run()),
    };
    wait_for_hangup(reader);
    result.err()
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

/// Reads until no process has the other end, and a closing thread has closed the last duplicate.
fn wait_for_hangup(mut reader: PipeReader) {
    reader.read_to_end(&mut Vec::new()).expect("a pipe can be read");
}

struct Exchange {
    driver: Driver,
    /// The two channels. The client of a datagram server is the second.
    channels: [usize; 2],
    socket_type: SocketType,
    /// The messages that each end sends.
    plan: [(usize, usize); 6],
    /// Where the first channel sends to; None: its peer.
    to: Option<Address>,
    writer: PipeWriter,
    /// The payloads that each channel has yet to receive, and the number of their descriptors.
    expected: [VecDeque<(Vec<u8>, usize)>; 2],
    fds: Vec<ForeignFd>,
}

impl Exchange {
    fn open(kind: &str, folder: &Path, writer: PipeWriter) -> Result<Self, Failure> {
        let mut driver = Driver::new()?;
        let address = path(folder, kind);
        let (socket_type, to, channels) = match kind {
            "stream" | "tcp" => {
                let tcp = kind == "tcp";
                (SocketType::STREAM, None, connected(&mut driver, tcp, &address)?)
            }
            "stream-pair" => {
                let (one, other) = Stream::pair()?;
                let channels = [one, other].map(|end| add_stream(&mut driver, end, false));
                (SocketType::STREAM, None, both(channels)?)
            }
            "seqpacket" | "memfd" => {
                let (one, other) = Datagram::seqpacket_pair()?;
                let memfd = kind == "memfd";
                let channels = [one, other].map(|end| add_datagram(&mut driver, end, memfd));
                (SocketType::SEQPACKET, None, both(channels)?)
            }
            "dgram-pair" => {
                let (one, other) = Datagram::pair()?;
                let channels = [one, other].map(|end| add_datagram(&mut driver, end, false));
                (SocketType::DGRAM, None, both(channels)?)
            }
            _ => {
                let mut server = Datagram::new()?;
                server.bind_to(&binding(&address))?;
                let client = Datagram::new()?;
                client.connect(&address)?;
                client.bind(&Address::UNNAMED)?;
                let name = client.local_address()?;
                let channels = [server, client].map(|end| add_datagram(&mut driver, end, false));
                (SocketType::DGRAM, Some(name), both(channels)?)
            }
        };
        for channel in channels {
            driver.reactor.set_reading(channel, true);
        }
        let (expected, fds) = ([VecDeque::new(), VecDeque::new()], Vec::new());
        let plan = plan(kind);
        Ok(Self { driver, channels, socket_type, plan, to, writer, expected, fds })
    }

    fn run(&mut self) -> Result<(), Failure> {
        for from in [0, 1] {
            for (len, fds) in self.plan {
                self.send(from, len, fds)?;
            }
            self.driver.reactor.flush();
        }
        while self.expected.iter().any(|expected| !expected.is_empty()) {
            self.receive()?;
        }
        if self.socket_type != SocketType::DGRAM {
            self.driver.reactor.finish(self.channels[0]);
            while !self.receive()? {}
        }
        Ok(())
    }

    fn send(&mut self, from: usize, len: usize, fds: usize) -> Result<(), Failure> {
        // Digits are JSON.
        let payload = vec![b'1' + u8::try_from(len % 9).unwrap_or(0); len];
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
            Err(SendError::Refused(errno)) => return Err(errno.into()),
            Err(error) => panic!("{error:?}"),
        }
        Ok(())
    }

    /// Runs turns. Returns whether the peer's end has arrived.
    fn receive(&mut self) -> Result<bool, Failure> {
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
                Report::Other(Event::Failed(errno, _)) => return Err(errno.into()),
                Report::Other(Event::Undelivered(message)) => match message.reason {
                    fdwire_channel::UndeliveredReason::Refused(errno) => return Err(errno.into()),
                    expired => panic!("{expired:?}"),
                },
                Report::Other(Event::End) => ended = true,
                Report::Other(Event::Drained(_) | Event::Progress) => {}
                Report::Other(Event::Refused(Refusal::NoMemoryFile, ..)) => {
                    return Err(Failure::Refused);
                }
                Report::Other(Event::Refused(Refusal::FdsTruncated, ..)) => panic!("truncated"),
                Report::Other(other) => panic!("{other:?}"),
            }
        }
        Ok(ended)
    }
}

/// Returns the lengths of the messages, and the numbers of their descriptors. A stream gets more than
/// the kernel takes at once, so that it writes and reads in part.
fn plan(kind: &str) -> [(usize, usize); 6] {
    let large = match kind {
        "stream" | "stream-pair" | "tcp" | "memfd" => 600_000,
        _ => 60_000,
    };
    let plan = [(10, 0), (1, 2), (large, 0), (20, 1), (large, 0), (30, 0)];
    if kind == "tcp" { plan.map(|(len, _)| (len, 0)) } else { plan }
}

/// Returns the address of a path that only this process uses.
pub(crate) fn path(folder: &Path, name: &str) -> Address {
    let path = folder.join(format!("{name}-{}", std::process::id()));
    Address::from_bytes(path.as_os_str().as_encoded_bytes()).expect("the path is short")
}

pub(crate) fn binding(address: &Address) -> Binding<'_> {
    Binding { address, mode: 0o600, unlink: Unlink::Stale }
}

/// Every option of a TCP connection.
pub(crate) fn tcp_setup() -> SocketSetup {
    SocketSetup {
        no_delay: true,
        keep_alive: Some(Duration::from_secs(60)),
        send_buffer: Some(100_000),
        receive_buffer: Some(100_000),
        ..SocketSetup::default()
    }
}

/// Connects to a listener of the same reactor. Returns both ends.
fn connected(driver: &mut Driver, tcp: bool, address: &Address) -> Result<[usize; 2], Failure> {
    let setup = if tcp { tcp_setup() } else { SocketSetup::default() };
    let listener = if tcp {
        Listener::listen_tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), 8, &setup)?
    } else {
        Listener::listen_unix(&binding(address), SocketType::STREAM, 8, &setup)?
    };
    let peer = listener.local_address()?;
    let connection = Connection::Stream(framing());
    let listener = driver.reactor.add_listener(Listening::new(listener, connection, limits()));
    driver.reactor.allow(listener, 1);
    let connect = Stream::connect(&peer, None, &setup)?;
    let mut connecting = connect.connecting;
    let client = add_stream(driver, connect.stream, connecting)?;
    let mut accepted = None;
    loop {
        if let Some(server) = accepted.filter(|_| !connecting) {
            return Ok([server, client]);
        }
        let reports = driver.try_run(true)?;
        assert!(!reports.is_empty(), "no connection arrives");
        for (_, report) in reports {
            match report {
                Report::Other(Event::Accepted(server)) => accepted = Some(server),
                Report::Other(Event::Connected) => connecting = false,
                Report::Other(Event::Failed(errno, _)) => return Err(errno.into()),
                // The listener closes a connection whose options it cannot set.
                Report::Other(Event::End | Event::HungUp) => return Err(Failure::Refused),
                Report::Other(other) => panic!("{other:?}"),
                Report::Message(_) => panic!("nothing was sent"),
            }
        }
    }
}

fn both(channels: [Result<usize, Errno>; 2]) -> Result<[usize; 2], Errno> {
    let [one, other] = channels;
    Ok([one?, other?])
}

fn framing() -> Framing {
    let codec = Subject::new(Protocol::LengthPrefixed, false).codec();
    Framing { codec, text: false, json: false }
}

fn add_stream(driver: &mut Driver, socket: Stream, connecting: bool) -> Result<usize, Errno> {
    let added = driver.reactor.add_stream(socket, connecting, framing(), limits());
    added.map_err(|(errno, _)| errno)
}

fn add_datagram(driver: &mut Driver, socket: Datagram, memfd: bool) -> Result<usize, Errno> {
    let protocol = if memfd { Protocol::Jsoncomm } else { Protocol::Raw };
    let channel = Channel::datagram(socket, protocol, Limits { memfd, ..limits() });
    Ok(driver.reactor.add(channel.map_err(|(errno, _)| errno)?))
}
