//! Connections in random states, whose owner does not close them: their ends are open, half-closed,
//! closed or reset, messages and descriptors are unread, queues are full, input is discarded. Waiting
//! causes few wakeups in each state, and events come to an end.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::io::{IoSlice, IoSliceMut};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use common::{Harness, Random, Seen, framing, limits, numbered, seeds};
use fdwire_channel::Limits;
use fdwire_socket::{Address, Control, Datagram, ForeignFd, Stream};
use fdwire_wire::Protocol;

/// How long nothing acts but the reactor, to count its wakeups.
const QUIET: Duration = Duration::from_millis(10);

/// The wakeups of one channel within `QUIET` without an event: retries, and comparisons of the clocks
/// of its deadlines. A channel that is busy causes hundreds.
const WAKEUPS: usize = 10;

/// The other end of a connection.
enum Peer {
    Packets(Datagram),
    Bytes(Stream),
    /// The channel is a stream without a socket. Whether its input has ended.
    Caller(bool),
    Closed,
}

struct Connection {
    index: usize,
    peer: Peer,
    /// The descriptors of received messages.
    fds: Vec<ForeignFd>,
    /// How often the end, a failure, a hang-up or a passed deadline was reported.
    ends: usize,
    failures: usize,
    late: usize,
}

fn tcp_pair() -> (Stream, Stream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    let adopt = |socket: TcpStream| Stream::adopt(OwnedFd::from(socket)).unwrap();
    (adopt(client), adopt(server))
}

impl Connection {
    fn new(harness: &mut Harness, random: &mut Random) -> Self {
        let timeouts = [None, None, Some(Duration::from_millis(5))];
        let limits = Limits {
            max_message: random.one_of(&[50, 1_000_000]),
            max_open_fds: random.one_of(&[1, 3, 256]),
            max_queued_fds: random.one_of(&[2, 1_024]),
            send_timeout: random.one_of(&timeouts),
            idle_timeout: random.one_of(&timeouts),
            message_timeout: random.one_of(&timeouts),
            ..limits()
        };
        let (index, peer) = match random.below(5) {
            0 => {
                let (socket, peer) = Stream::pair().unwrap();
                (harness.add_stream(socket, Protocol::LengthPrefixed, limits), Peer::Bytes(peer))
            }
            1 => {
                let (socket, peer) = tcp_pair();
                (harness.add_stream(socket, Protocol::Lines, limits), Peer::Bytes(peer))
            }
            2 => {
                let (socket, peer) = Datagram::seqpacket_pair().unwrap();
                (harness.add(socket, limits), Peer::Packets(peer))
            }
            3 => {
                let (socket, peer) = Datagram::pair().unwrap();
                (harness.add(socket, limits), Peer::Packets(peer))
            }
            _ => {
                let framing = framing(Protocol::LengthPrefixed, &limits);
                (harness.reactor.add_external(framing, limits), Peer::Caller(false))
            }
        };
        Self { index, peer, fds: Vec::new(), ends: 0, failures: 0, late: 0 }
    }

    fn act(&mut self, harness: &mut Harness, random: &mut Random) {
        let (index, yes) = (self.index, random.once_in(2));
        let reactor = &mut harness.reactor;
        match random.below(24) {
            0..4 => reactor.set_reading(index, yes),
            4 => reactor.set_busy(index, random.once_in(4)),
            5 => reactor.watch_hang_up(index),
            6 => reactor.set_reports_progress(index, yes),
            7 if random.once_in(4) => reactor.finish(index),
            8 if random.once_in(4) => reactor.discard_input(index),
            9 if random.once_in(4) => drop(reactor.shut_down(index, yes)),
            10..13 => {
                let released = self.fds.drain(..random.below(self.fds.len() + 1)).count();
                reactor.released(index, released);
            }
            13..16 => {
                let spare = Datagram::new().unwrap();
                let fds: &[BorrowedFd<'_>] = &[spare.as_fd()];
                let fds = if random.once_in(4) { fds } else { &[] };
                let (count, len) = random.one_of(&[(1, 10), (500, 10), (40, 100_000)]);
                // The connection may be over, or the queue full.
                while harness.try_send(index, &numbered(0, len), fds, None).is_ok()
                    && !random.once_in(count)
                {}
            }
            16..24 => self.act_as_peer(harness, random),
            _ => {}
        }
    }

    fn act_as_peer(&mut self, harness: &mut Harness, random: &mut Random) {
        let spare = Datagram::new().unwrap();
        let fds = [spare.as_fd()];
        let fds = if random.once_in(3) { &fds[..] } else { &[] };
        let bytes = random.one_of(&[&b"\0\0\0\x02ab"[..], b"\0\0", b"line\n", b"\xff\xff\xff\xff"]);
        let bytes = bytes.repeat(random.one_of(&[1, 3, 500]));
        match (&mut self.peer, random.below(6)) {
            (Peer::Caller(false), 0) if random.once_in(5) => {
                self.peer = Peer::Caller(true);
                harness.reactor.feed(self.index, None);
            }
            (Peer::Caller(false), 0..4) => harness.reactor.feed(self.index, Some(&bytes)),
            (Peer::Caller(_), _) => {
                let fetched = harness.reactor.fetch(self.index).len();
                harness.reactor.settle_fetched(self.index, fetched);
            }
            (Peer::Closed, _) => {}
            // With unread input, this resets the connection.
            (_, 0) if random.once_in(4) => self.peer = Peer::Closed,
            (Peer::Bytes(stream), 1) if random.once_in(4) => drop(stream.shutdown_send()),
            (Peer::Packets(socket), 1) if random.once_in(4) => drop(socket.shutdown_send()),
            (Peer::Bytes(stream), 2..4) => drop(stream.send(&[IoSlice::new(&bytes)], fds)),
            (Peer::Packets(socket), 2..4) => drop(socket.send(b"packet", fds, None)),
            (Peer::Bytes(stream), _) => {
                let mut buffer = vec![0; 65_536];
                let into = &mut [IoSliceMut::new(&mut buffer)];
                let _ = stream.recv(into, &mut Control::new(), &mut Vec::new());
            }
            (Peer::Packets(socket), _) => {
                let (mut from, mut fds) = (Address::UNNAMED, Vec::new());
                for _ in 0..random.below(40) {
                    let mut buffer = [0; 100];
                    let into = &mut [IoSliceMut::new(&mut buffer)];
                    let _ = socket.recv(into, &mut Control::new(), &mut fds, &mut from);
                }
            }
        }
    }

    fn on_events(&mut self, events: Vec<Seen>) {
        for event in events {
            match event {
                Seen::Message { fds, .. } => {
                    assert_eq!(self.ends, 0, "a message after the end");
                    self.fds.extend(fds);
                }
                Seen::End { .. } | Seen::Cut { .. } | Seen::Lost { .. } => self.ends += 1,
                Seen::Failed(..) => self.failures += 1,
                Seen::Late { .. } => self.late += 1,
                _ => {}
            }
        }
        assert!(self.ends <= 1 && self.late <= 1, "reported once");
        // Each direction may fail.
        assert!(self.failures <= 2, "{} failures", self.failures);
    }
}

struct World {
    random: Random,
    harness: Harness,
    connections: Vec<Connection>,
}

impl World {
    /// Runs the turns of what is ready, after at most `timeout`. Returns whether there was an event.
    fn run(&mut self, timeout: Duration, acts: bool) -> bool {
        self.harness.reactor.flush();
        self.harness.reactor.poll(timeout).unwrap();
        let (mut any, mut events) = (false, false);
        while let Some((index, seen)) = self.harness.turn_of_channel() {
            any = true;
            events |= !seen.is_empty();
            let Self { random, harness, connections, .. } = self;
            let owner = connections.iter_mut().find(|it| it.index == index);
            owner.expect("a channel with this index").on_events(seen);
            if acts && random.once_in(10) {
                let at = random.below(connections.len());
                connections[at].act(harness, random);
            }
        }
        self.harness.wakeups += usize::from(any && !events);
        events
    }

    /// Waits for the end of the events, and checks that there are few wakeups then.
    fn rest(&mut self) {
        let mut runs = 0;
        while self.run(Duration::from_millis(1), false) {
            runs += 1;
            assert!(runs < 10_000, "events without end");
        }
        let (before, end) = (self.harness.wakeups, Instant::now() + QUIET);
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.run(left, false);
        }
        let wakeups = self.harness.wakeups - before;
        assert!(wakeups < WAKEUPS * self.connections.len(), "{wakeups} wakeups");
    }
}

fn run(seed: u64) {
    println!("seed {seed}");
    let (mut random, mut harness) = (Random::new(seed), Harness::new());
    let connections = (0..6).map(|_| Connection::new(&mut harness, &mut random)).collect();
    let mut world = World { random, harness, connections };
    for step in 0..2_000 {
        let World { random, harness, connections, .. } = &mut world;
        let at = random.below(connections.len());
        if random.once_in(100) {
            drop(harness.reactor.remove(connections[at].index));
            connections[at] = Connection::new(harness, random);
        } else {
            connections[at].act(harness, random);
        }
        if random.once_in(3) {
            world.run(Duration::ZERO, true);
        }
        if step % 50 == 49 {
            world.rest();
        }
    }
}

#[test]
fn no_state_of_a_connection_keeps_the_thread_busy() {
    seeds(2).for_each(run);
}
