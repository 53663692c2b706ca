//! A datagram socket without a peer, and the sockets to which it sends.

use std::time::Duration;

use fdwire_channel::{Limits, SendError, Sent};
use fdwire_socket::Address;

use super::common::{Harness, Random, Seen, bound, client_of, limits, name};
use super::ledger::{Ledger, Message};
use super::peer::{Peer, message};

struct Receiver {
    name: Address,
    /// Whether it is connected to the server, so that its share of the send buffer is limited.
    is_client: bool,
    peer: Peer,
    ledger: Ledger,
}

pub struct Server {
    pub index: usize,
    receivers: Vec<Receiver>,
    next: usize,
    accepted: u64,
    undelivered: u64,
}

impl Server {
    pub fn new(harness: &mut Harness, random: &mut Random) -> Self {
        let (server, ms) = (name(), Duration::from_millis(1));
        let limits = Limits {
            send_timeout: random.one_of(&[None, Some(ms), Some(10 * ms), Some(60 * ms)]),
            max_queued: random.one_of(&[3_000, 256 * 1024 * 1024]),
            max_queued_total: random.one_of(&[2_000, 20_000, usize::MAX]),
            ..limits()
        };
        let index = harness.add(bound(&server), limits);
        let receiver = |at| {
            let (socket, name) = if at < 3 {
                client_of(&server)
            } else {
                let name = name();
                (bound(&name), name)
            };
            let (peer, ledger) = (Peer::Packets(socket), Ledger::default());
            Receiver { name, is_client: at < 3, peer, ledger }
        };
        let receivers = (0..6).map(receiver).collect();
        Self { index, receivers, next: 0, accepted: 0, undelivered: 0 }
    }

    pub fn send(&mut self, harness: &mut Harness, random: &mut Random) {
        let to = random.below(self.receivers.len());
        let len = random.one_of(&[10, 10, 500, 3_000, 20_000, 100_000]);
        let count = random.one_of(&[1, 10, 40, 300]);
        for _ in 0..count.min(1 + 2_000_000 / len) {
            let Receiver { name, ledger, .. } = &mut self.receivers[to];
            let bytes = message(self.next, len);
            let seq = match harness.try_send(self.index, &bytes, &[], Some(name)) {
                Ok(Sent::Now) => None,
                Ok(Sent::Queued(seq)) => Some(seq),
                Err(SendError::QueueFull | SendError::Refused(_)) => return,
                Err(error) => panic!("{error:?}"),
            };
            let (number, len) = (self.next, bytes.len());
            ledger.accept(Message { number, seq, len, fds: 0, expires: None });
            self.next += 1;
            self.accepted += 1;
        }
    }

    /// Lets a receiver read, or close after it has read everything, or bind its name again.
    pub fn act_as_receiver(&mut self, random: &mut Random) {
        let at = random.below(self.receivers.len());
        let receiver = &mut self.receivers[at];
        let closed = matches!(receiver.peer, Peer::Closed);
        match random.below(8) {
            0 if !receiver.is_client => {
                receiver.read(usize::MAX);
                receiver.peer.close();
            }
            1..4 if closed => receiver.peer = Peer::Packets(bound(&receiver.name)),
            _ => receiver.read(1 + random.below(40)),
        }
    }

    pub fn on_events(&mut self, events: Vec<Seen>) {
        for event in events {
            match event {
                Seen::Undelivered { seq, to, reason, .. } => {
                    let mut receivers = self.receivers.iter_mut();
                    let receiver = receivers.find(|it| Some(&it.name) == to.as_ref()).unwrap();
                    let known = receiver.ledger.lose(seq);
                    assert!(known, "{seq} is unknown or was reported before: {reason:?}");
                    self.undelivered += 1;
                }
                Seen::Drained { .. } | Seen::Progress => {}
                other => panic!("{other:?}"),
            }
        }
    }

    pub fn check(&self, harness: &Harness) {
        let counters = harness.counters(self.index);
        assert_eq!((counters.sent, counters.undelivered), (self.accepted, self.undelivered));
    }

    /// Receives everything.
    pub fn finish(&mut self) {
        for receiver in &mut self.receivers {
            if let Peer::Closed = receiver.peer {
                receiver.peer = Peer::Packets(bound(&receiver.name));
            }
            receiver.read(usize::MAX);
        }
    }

    pub fn assert_settled(&self) {
        self.receivers.iter().for_each(|receiver| receiver.ledger.assert_settled());
    }
}

impl Receiver {
    fn read(&mut self, at_most: usize) {
        for received in self.peer.read(at_most) {
            self.ledger.receive(received.number, received.fds);
        }
    }
}
