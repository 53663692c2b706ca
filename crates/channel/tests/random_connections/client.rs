//! A channel with one peer, whose connection is lost and replaced as `reconnect` does it.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use fdwire_channel::{Limits, SendError, Sent, UndeliveredReason};
use fdwire_socket::{Datagram, Errno};
use fdwire_wire::Protocol;

use super::common::{Harness, Random, Seen, limits};
use super::ledger::{Ledger, Message};
use super::peer::{End, Kind, Peer, connection, message};

const MS: Duration = Duration::from_millis(1);

/// The connection of a client.
enum State {
    Connected(Peer),
    Lost,
}

pub struct Client {
    pub index: usize,
    kind: Kind,
    limits: Limits,
    state: State,
    ledger: Ledger,
    next: usize,
    /// The messages that were accepted, and those that were reported as undelivered or dropped.
    accepted: u64,
    undelivered: u64,
    /// Whether this connection was reported as late.
    late: bool,
    /// Whether it is held, so that it must be lost later.
    held: bool,
}

impl Client {
    pub fn new(harness: &mut Harness, random: &mut Random) -> Self {
        let kind = random.one_of(&[Kind::Datagram, Kind::Seqpacket, Kind::Memfd, Kind::Stream]);
        let some = |timeouts: &[u32], random: &mut Random| {
            let timeout = random.one_of(timeouts);
            (timeout > 0).then_some(timeout * MS)
        };
        let limits = Limits {
            send_timeout: some(&[0, 0, 1, 5, 40, 60_000], random),
            idle_timeout: some(&[0, 0, 0, 10, 60], random),
            message_timeout: some(&[0, 0, 10], random),
            max_queued: random.one_of(&[3_000, 1_000_000, 256 * 1024 * 1024]),
            max_queued_total: random.one_of(&[2_000, 20_000, usize::MAX, usize::MAX]),
            high_water_mark: random.one_of(&[0, 1_000, 64 * 1024]),
            memfd: kind == Kind::Memfd,
            ..limits()
        };
        let (end, peer) = connection(kind);
        let index = add(harness, kind, end, &limits);
        harness.reactor.keep_on_loss(index);
        Self {
            index,
            kind,
            limits,
            state: State::Connected(peer),
            ledger: Ledger::default(),
            next: 0,
            accepted: 0,
            undelivered: 0,
            late: false,
            held: false,
        }
    }

    /// Queues packets from now on, until the connection is replaced.
    pub fn hold(&mut self, harness: &mut Harness) {
        harness.reactor.hold(self.index);
        self.held = true;
    }

    pub fn send(&mut self, harness: &mut Harness, random: &mut Random) {
        let len = random.one_of(&[10, 10, 10, 500, 3_000, 20_000, 100_000, 250_000]);
        let count = random.one_of(&[1, 1, 10, 10, 40, 400]);
        let spare = Datagram::new().unwrap();
        let fds: &[BorrowedFd<'_>] = &[spare.as_fd(), spare.as_fd()];
        for _ in 0..count.min(1 + 4_000_000 / len) {
            let fds = if random.once_in(8) { fds } else { &[] };
            if !self.send_one(harness, len, fds, random) {
                return;
            }
        }
    }

    /// Sends a message. Returns whether it was accepted.
    fn send_one(
        &mut self,
        harness: &mut Harness,
        len: usize,
        fds: &[BorrowedFd<'_>],
        random: &mut Random,
    ) -> bool {
        let bytes = message(self.next, len);
        let sent = match harness.try_send(self.index, &bytes, fds, None) {
            Ok(sent) => sent,
            Err(SendError::QueueFull | SendError::Refused(Errno::MSGSIZE | Errno::NOBUFS)) => {
                return false;
            }
            Err(SendError::Refused(
                Errno::CONNREFUSED | Errno::PIPE | Errno::NOTCONN | Errno::CONNRESET,
            )) => {
                // As in lib/: the end of a seqpacket connection follows its last messages.
                if self.kind != Kind::Datagram || random.once_in(2) {
                    self.hold(harness);
                } else {
                    self.lose(harness, random);
                }
                return false;
            }
            Err(error) => panic!("{error:?}"),
        };
        let channel = harness.reactor.channel(self.index).unwrap();
        let seq = match sent {
            _ if self.kind == Kind::Stream => Some(channel.seqs().1 - 1),
            Sent::Queued(seq) => Some(seq),
            Sent::Now => None,
        };
        // Messages that are queued within a millisecond expire together.
        let expires = self.limits.send_timeout.map(|timeout| Instant::now() + timeout + 2 * MS);
        let message = Message { number: self.next, seq, len: bytes.len(), fds: fds.len(), expires };
        self.ledger.accept(message);
        self.next += 1;
        self.accepted += 1;
        true
    }

    /// Lets the peer act: it reads, sends, or closes after it has read everything.
    pub fn act_as_peer(&mut self, random: &mut Random) {
        let State::Connected(peer) = &mut self.state else { return };
        match random.below(10) {
            0 => peer.send(),
            1 => peer.send_part(),
            2 => {
                self.receive(usize::MAX);
                if let State::Connected(peer) = &mut self.state {
                    peer.close();
                }
            }
            _ => self.receive(1 + random.below(100)),
        }
    }

    /// Replaces a lost connection, or loses this one.
    pub fn replace(&mut self, harness: &mut Harness, random: &mut Random) {
        if let State::Connected(_) = self.state {
            return self.lose(harness, random);
        }
        let (end, peer) = connection(self.kind);
        let next = add(harness, self.kind, end, &self.limits);
        assert!(harness.reactor.reconnect(self.index, next));
        self.state = State::Connected(peer);
        (self.late, self.held) = (false, false);
    }

    pub fn lose(&mut self, harness: &mut Harness, random: &mut Random) {
        let State::Connected(_) = self.state else { return };
        let keep = !random.once_in(3);
        for seq in harness.reactor.disconnect(self.index, keep) {
            assert!(self.ledger.lose(seq), "{seq} is unknown or was reported before");
            self.undelivered += 1;
        }
        if !keep {
            assert_eq!(harness.queued(self.index).0, 0);
        }
        // The peer still gets what the kernel has accepted.
        self.receive(usize::MAX);
        self.state = State::Lost;
    }

    pub fn on_events(&mut self, harness: &mut Harness, random: &mut Random, events: Vec<Seen>) {
        for event in events {
            match event {
                Seen::Undelivered { seq, reason, to, .. } => {
                    assert_eq!(to, None);
                    let known = self.ledger.lose(seq);
                    assert!(known, "{seq} is unknown or was reported before: {reason:?}");
                    assert_ne!(reason, UndeliveredReason::Refused(Errno::CONNREFUSED));
                    self.undelivered += 1;
                }
                Seen::Failed(..) | Seen::End { .. } | Seen::Cut { .. } | Seen::Lost { .. } => {
                    self.lose(harness, random);
                }
                Seen::Late { .. } => {
                    assert!(!std::mem::replace(&mut self.late, true), "late twice");
                    if random.once_in(2) {
                        self.lose(harness, random);
                    }
                }
                Seen::Drained { .. }
                | Seen::Progress
                | Seen::FdsHeld
                | Seen::Message { .. }
                | Seen::Refused { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Checks the accounts of the channel.
    pub fn check(&self, harness: &Harness) {
        let channel = harness.reactor.channel(self.index).unwrap();
        let ((oldest, next), queued) = (channel.seqs(), channel.queued());
        let mine: Vec<_> = self.ledger.queued(oldest).collect();
        // A segment of a stream that was sent in part counts all of its messages.
        if self.kind != Kind::Stream {
            assert_eq!(queued.messages, mine.len(), "queued messages of {:?}", self.kind);
        }
        let bytes = match self.kind {
            Kind::Stream => usize::try_from(next - oldest.unwrap_or(next)).unwrap(),
            _ => mine.iter().map(|message| message.len).sum(),
        };
        assert_eq!(queued.bytes, bytes, "queued bytes of {:?}", self.kind);
        if matches!(self.kind, Kind::Datagram | Kind::Seqpacket) {
            assert_eq!(queued.fds, mine.iter().map(|message| message.fds).sum());
        }
        let counters = channel.counters();
        assert_eq!((counters.sent, counters.undelivered), (self.accepted, self.undelivered));
    }

    /// Checks that nothing is queued that had to expire before `now`.
    pub fn check_expired(&self, harness: &Harness, now: Instant) {
        let (oldest, _) = harness.reactor.channel(self.index).unwrap().seqs();
        let expires = self.ledger.queued(oldest).filter_map(|message| message.expires);
        if self.kind != Kind::Stream {
            assert!(expires.into_iter().all(|at| at >= now), "not expired on {:?}", self.kind);
        }
    }

    /// Receives everything over a connection that is never lost.
    pub fn finish(&mut self, harness: &mut Harness, random: &mut Random) {
        if self.held {
            self.lose(harness, random);
        }
        if let State::Lost = self.state {
            self.replace(harness, random);
        }
        self.receive(usize::MAX);
    }

    pub fn assert_settled(&self) {
        self.ledger.assert_settled();
    }

    fn receive(&mut self, at_most: usize) {
        if let State::Connected(peer) = &mut self.state {
            for received in peer.read(at_most) {
                self.ledger.receive(received.number, received.fds);
            }
        }
    }
}

fn add(harness: &mut Harness, kind: Kind, end: End, limits: &Limits) -> usize {
    match end {
        End::Bytes(stream) => harness.add_stream(stream, Protocol::LengthPrefixed, limits.clone()),
        End::Packets(socket) if kind == Kind::Memfd => harness.add_json(socket, limits.clone()),
        End::Packets(socket) => harness.add(socket, limits.clone()),
    }
}
