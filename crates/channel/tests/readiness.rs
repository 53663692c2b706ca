//! After each readiness in each state, a channel makes progress and then causes no more wakeups.
//! Epoll would keep reporting a readiness that nothing handles.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::IoSlice;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use common::{Harness, Seen, limits};
use fdwire_channel::{Limits, Sent};
use fdwire_socket::{Accepted, Datagram, Listener, SocketAddress, SocketSetup, Stream};
use fdwire_wire::Protocol;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{Shutdown, shutdown};

/// The time within which a channel must become idle, and for which it is then observed.
const A_WHILE: Duration = Duration::from_millis(40);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Stream,
    Tcp,
    Seqpacket,
    Datagram,
}

/// The state of the channel before the event.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Reading,
    Paused,
    /// The owner has not set its read interest.
    Untouched,
    /// Reading rests at the limit of open descriptors.
    Held,
    /// The queue is not empty, and the peer reads nothing.
    Queued {
        reading: bool,
    },
    /// The sending direction is shut down.
    HalfClosed {
        reading: bool,
    },
    /// The sending direction is shut down as soon as the queue is empty, and the peer reads
    /// nothing.
    Finishing,
    /// The sending direction is shut down, and input is discarded. Only TCP has this state.
    Discarding,
}

const STATES: [State; 10] = [
    State::Reading,
    State::Paused,
    State::Untouched,
    State::Held,
    State::Queued { reading: true },
    State::Queued { reading: false },
    State::HalfClosed { reading: true },
    State::HalfClosed { reading: false },
    State::Finishing,
    State::Discarding,
];

/// What happens, and which readiness epoll reports then on a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Happens {
    /// IN
    Message,
    /// RDHUP
    PeerHalfCloses,
    /// IN, RDHUP
    MessageAndPeerHalfCloses,
    /// OUT, or nothing
    PeerStopsReceiving,
    /// HUP, RDHUP
    PeerShutsDown,
    /// IN, HUP, RDHUP
    MessageAndPeerShutsDown,
    /// HUP, RDHUP, and ERR if the peer has not read everything
    PeerCloses,
    /// HUP, RDHUP: a process that shares our socket shuts it down
    SharerShutsDown,
}

const EVENTS: [Happens; 8] = [
    Happens::Message,
    Happens::PeerHalfCloses,
    Happens::MessageAndPeerHalfCloses,
    Happens::PeerStopsReceiving,
    Happens::PeerShutsDown,
    Happens::MessageAndPeerShutsDown,
    Happens::PeerCloses,
    Happens::SharerShutsDown,
];

/// The socket of the peer.
enum Peer {
    Stream(Stream),
    Datagram(Datagram),
}

impl Peer {
    fn send(&self, fds: &[BorrowedFd<'_>]) {
        // The channel may have shut its socket down.
        let _ = match self {
            Self::Stream(socket) => socket.send(&[IoSlice::new(b"message\n")], fds).map(drop),
            Self::Datagram(socket) => socket.send(b"message", fds, None),
        };
    }

    fn shut_down(&self, how: Shutdown) {
        let _ = match self {
            Self::Stream(socket) => shutdown(socket, how),
            Self::Datagram(socket) => shutdown(socket, how),
        };
    }
}

/// One cell of the table.
struct Cell {
    harness: Harness,
    channel: usize,
    peer: Peer,
    /// A duplicate of our socket, like that of another process.
    shared: OwnedFd,
    /// Messages with their descriptors, and all other events.
    seen: Vec<Seen>,
    failed: bool,
}

impl Cell {
    fn new(kind: Kind, state: State) -> Self {
        let mut harness = Harness::new();
        let limits = Limits {
            max_open_fds: if state == State::Held { 1 } else { 256 },
            send_timeout: None,
            idle_timeout: None,
            message_timeout: None,
            ..limits()
        };
        let (channel, peer, shared) = match kind {
            Kind::Stream => add_stream(&mut harness, Stream::pair().unwrap(), limits),
            Kind::Tcp => add_stream(&mut harness, tcp_pair(), limits),
            Kind::Seqpacket => {
                add_datagram(&mut harness, Datagram::seqpacket_pair().unwrap(), limits)
            }
            Kind::Datagram => add_datagram(&mut harness, Datagram::pair().unwrap(), limits),
        };
        let mut cell = Self { harness, channel, peer, shared, seen: Vec::new(), failed: false };
        cell.enter(state);
        cell
    }

    fn enter(&mut self, state: State) {
        let (harness, channel) = (&mut self.harness, self.channel);
        if state != State::Untouched {
            harness.reactor.set_reading(channel, state != State::Paused);
        }
        match state {
            State::Reading | State::Paused | State::Untouched => {}
            State::Held => {
                let fd = self.shared.try_clone().unwrap();
                self.peer.send(&[fd.as_fd()]);
                self.run();
                assert_eq!(self.seen.len(), 2, "a message, and FdsHeld: {:?}", self.seen);
            }
            State::Queued { reading } => {
                fill(harness, channel);
                harness.reactor.set_reading(channel, reading);
            }
            State::HalfClosed { reading } => {
                harness.reactor.finish(channel);
                harness.reactor.set_reading(channel, reading);
            }
            State::Finishing => {
                fill(harness, channel);
                harness.reactor.finish(channel);
            }
            State::Discarding => assert!(harness.reactor.shut_down(channel, false)),
        }
        self.run();
    }

    fn cause(&mut self, event: Happens) {
        match event {
            Happens::Message => self.peer.send(&[]),
            Happens::PeerHalfCloses => self.peer.shut_down(Shutdown::Write),
            Happens::MessageAndPeerHalfCloses => {
                self.peer.send(&[]);
                self.peer.shut_down(Shutdown::Write);
            }
            Happens::PeerStopsReceiving => self.peer.shut_down(Shutdown::Read),
            Happens::PeerShutsDown => self.peer.shut_down(Shutdown::Both),
            Happens::MessageAndPeerShutsDown => {
                self.peer.send(&[]);
                self.peer.shut_down(Shutdown::Both);
            }
            Happens::PeerCloses => {
                let (unrelated, _) = Datagram::pair().unwrap();
                self.peer = Peer::Datagram(unrelated);
            }
            Happens::SharerShutsDown => shutdown(&self.shared, Shutdown::Both).unwrap(),
        }
    }

    /// Runs turns for a while, as the owner of a channel does: a channel that has failed is
    /// removed. Returns the number of wakeups.
    fn run(&mut self) -> usize {
        let (before, end) = (self.harness.wakeups, Instant::now() + A_WHILE);
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.seen.append(&mut self.harness.run(left));
            let failed = self.seen.iter().any(|seen| matches!(seen, Seen::Failed(..)));
            if failed && !std::mem::replace(&mut self.failed, true) {
                drop(self.harness.reactor.remove(self.channel));
            }
        }
        self.harness.wakeups - before
    }

    /// Checks that a hang-up is reported once if both directions are shut down, and only then.
    fn check_hang_up(&self, watches: bool, name: &str) {
        let reports = self.seen.iter().filter(|seen| matches!(seen, Seen::HungUp)).count();
        let mut state = [PollFd::new(&self.shared, PollFlags::empty())];
        poll(&mut state, Some(&Timespec::default())).unwrap();
        let hung_up = state[0].revents().contains(PollFlags::HUP);
        // A channel that fails is removed, possibly before the hang-up.
        let expected = usize::from(watches && hung_up);
        let fits = reports == expected || (self.failed && reports == 0);
        assert!(fits, "{name}: {reports} hang-ups, hung up: {hung_up}");
    }

    fn has_ended(&self) -> bool {
        self.failed || self.seen.iter().any(|seen| matches!(seen, Seen::End { .. }))
    }

    fn is_drained(&self) -> bool {
        self.failed || self.harness.queued(self.channel).0 == 0
    }
}

fn add_stream(
    harness: &mut Harness,
    (socket, peer): (Stream, Stream),
    limits: Limits,
) -> (usize, Peer, OwnedFd) {
    let shared = socket.as_fd().try_clone_to_owned().unwrap();
    (harness.add_stream(socket, Protocol::Lines, limits), Peer::Stream(peer), shared)
}

fn add_datagram(
    harness: &mut Harness,
    (socket, peer): (Datagram, Datagram),
    limits: Limits,
) -> (usize, Peer, OwnedFd) {
    let shared = socket.as_fd().try_clone_to_owned().unwrap();
    (harness.add(socket, limits), Peer::Datagram(peer), shared)
}

fn tcp_pair() -> (Stream, Stream) {
    let setup = SocketSetup { no_delay: true, ..SocketSetup::default() };
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = Listener::listen_tcp(any, 1, &setup).unwrap();
    let SocketAddress::Inet(address) = listener.local_address().unwrap() else { panic!("not TCP") };
    let client = Stream::connect(&SocketAddress::Inet(address), None, &setup).unwrap().stream;
    poll(&mut [PollFd::new(&client, PollFlags::OUT)], None).unwrap();
    client.finish_connect().unwrap();
    match listener.accept().unwrap() {
        Accepted::Stream(accepted) => (accepted, client),
        Accepted::Seqpacket(_) => panic!("not a stream"),
    }
}

/// Sends until the kernel accepts no more.
fn fill(harness: &mut Harness, channel: usize) {
    let message = vec![b'x'; 100_000];
    while harness.send(channel, &message, None) == Sent::Now {}
    harness.send(channel, &message, None);
    harness.reactor.flush();
}

/// Checks one row for each event. `watches`: whether a hang-up is to be reported.
fn check(kind: Kind, state: State, watches: bool) {
    // Only TCP discards, and only Unix sockets carry descriptors.
    let absent = if kind == Kind::Tcp { State::Held } else { State::Discarding };
    if state == absent {
        return;
    }
    for event in EVENTS {
        let name = format!("{kind:?}, {state:?}, {event:?}, watches: {watches}");
        let mut cell = Cell::new(kind, state);
        if watches {
            cell.harness.reactor.watch_hang_up(cell.channel);
        }
        assert!(cell.run() <= 1, "{name}: the state itself has no rest");
        cell.cause(event);
        cell.run();
        let wakeups = cell.run();
        assert!(wakeups <= 1, "{name}: {wakeups} wakeups without end");
        if kind == Kind::Datagram {
            continue;
        }
        let over = matches!(
            event,
            Happens::PeerShutsDown | Happens::PeerCloses | Happens::SharerShutsDown
        );
        // TCP does not inform the peer that a socket no longer receives.
        let over = over && (kind != Kind::Tcp || event != Happens::PeerShutsDown);
        if over {
            assert!(cell.has_ended(), "{name}: the end is not reported: {:?}", cell.seen);
            assert!(cell.is_drained(), "{name}: the queue waits for a peer that is dead");
        }
        cell.check_hang_up(watches, &name);
    }
}

fn check_all(kind: Kind) {
    std::thread::scope(|scope| {
        for state in STATES {
            for watches in [false, true] {
                scope.spawn(move || check(kind, state, watches));
            }
        }
    });
}

#[test]
fn a_unix_stream_becomes_idle_after_every_readiness_in_every_state() {
    check_all(Kind::Stream);
}

#[test]
fn a_tcp_stream_becomes_idle_after_every_readiness_in_every_state() {
    check_all(Kind::Tcp);
}

#[test]
fn a_seqpacket_socket_becomes_idle_after_every_readiness_in_every_state() {
    check_all(Kind::Seqpacket);
}

#[test]
fn a_datagram_socket_becomes_idle_after_every_readiness_in_every_state() {
    check_all(Kind::Datagram);
}

#[test]
fn an_empty_record_is_not_taken_for_the_end_of_a_paused_channel() {
    let mut cell = Cell::new(Kind::Seqpacket, State::Paused);
    let Peer::Datagram(peer) = &cell.peer else { panic!("not seqpacket") };
    peer.send(b"", &[], None).unwrap();
    shutdown(peer, Shutdown::Write).unwrap();
    cell.run();
    assert!(cell.seen.is_empty(), "{:?}", cell.seen);
    cell.harness.reactor.set_reading(cell.channel, true);
    cell.run();
    assert!(
        matches!(&cell.seen[..], [Seen::Message { bytes, .. }, Seen::End { .. }] if bytes.is_empty())
    );
}
