//! Random senders, receivers, sizes and pauses, and receivers that close and are replaced: each
//! receiver gets the messages of each sender in order, without any gap but those reported as
//! undelivered.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use common::{Harness, Random, Seen, bound, limits, name, recv};
use fdwire_channel::{SendError, Sent};
use fdwire_socket::{Address, Datagram};

enum Role {
    /// Bound to its name. It may close, and another socket may take the name.
    Named,
    /// Connected to this sender, so that it receives from no other.
    ClientOf(usize),
    /// One end of a pair; the other end is this sender.
    PairOf(usize),
}

struct Receiver {
    role: Role,
    name: Option<Address>,
    socket: Option<Datagram>,
    /// Whether it reads now.
    awake: bool,
    /// The numbers of the messages that have arrived, for each sender.
    got: HashMap<usize, Vec<usize>>,
}

impl Receiver {
    fn read(&mut self, at_most: usize) {
        let Some(socket) = &self.socket else { return };
        for _ in 0..at_most {
            let Some((bytes, _)) = recv(socket) else { return };
            let text: Vec<_> = bytes.split(|&byte| byte == b' ').take(2).collect();
            let [sender, number] = text[..] else { panic!("{bytes:?}") };
            let parse = |text| std::str::from_utf8(text).unwrap().parse::<usize>().unwrap();
            self.got.entry(parse(sender)).or_default().push(parse(number));
        }
    }
}

/// The messages of one sender to one receiver.
#[derive(Default)]
struct Sequence {
    taken: usize,
    undelivered: HashSet<usize>,
}

struct Traffic {
    random: Random,
    harness: Harness,
    channels: Vec<usize>,
    receivers: Vec<Receiver>,
    sequences: HashMap<(usize, usize), Sequence>,
    queued: HashMap<(usize, u64), (usize, usize)>,
}

impl Traffic {
    fn new(seed: u64) -> Self {
        let (mut harness, mut channels, mut receivers) = (Harness::new(), Vec::new(), Vec::new());
        for sender in 0..3 {
            let server = name();
            channels.push(harness.add(bound(&server), limits()));
            for _ in 0..3 {
                let (socket, name) = common::client_of(&server);
                receivers.push((Role::ClientOf(sender), Some(name), socket));
            }
        }
        for _ in 0..3 {
            let name = name();
            let socket = bound(&name);
            receivers.push((Role::Named, Some(name), socket));
        }
        let (one, other) = Datagram::pair().unwrap();
        channels.push(harness.add(one, limits()));
        receivers.push((Role::PairOf(3), None, other));
        let receivers = receivers.into_iter().map(|(role, name, socket)| {
            let (socket, got) = (Some(socket), HashMap::new());
            Receiver { role, name, socket, awake: true, got }
        });
        Self {
            random: Random::new(seed),
            harness,
            channels,
            receivers: receivers.collect(),
            sequences: HashMap::new(),
            queued: HashMap::new(),
        }
    }

    fn send(&mut self) {
        let to = self.random.below(self.receivers.len());
        let sender = match self.receivers[to].role {
            Role::Named => self.random.below(3),
            Role::ClientOf(sender) | Role::PairOf(sender) => sender,
        };
        let sizes = [10, 10, 10, 500, 3_000, 20_000, 100_000];
        let size = sizes[self.random.below(sizes.len())];
        for _ in 0..1 + self.random.below(30) {
            let sequence = self.sequences.entry((sender, to)).or_default();
            let mut bytes = format!("{sender} {} ", sequence.taken).into_bytes();
            bytes.resize(size.max(bytes.len()), b'.');
            let name = self.receivers[to].name.as_ref();
            match self.harness.try_send(self.channels[sender], &bytes, &[], name) {
                Ok(sent) => {
                    if let Sent::Queued(seq) = sent {
                        self.queued.insert((self.channels[sender], seq), (to, sequence.taken));
                    }
                    sequence.taken += 1;
                }
                // No socket has the name.
                Err(SendError::Refused(_)) => return,
                Err(error) => panic!("the limit is far: {error:?}"),
            }
        }
    }

    fn change_a_receiver(&mut self) {
        let at = self.random.below(self.receivers.len());
        let mortal = matches!(self.receivers[at].role, Role::Named) && self.random.below(3) == 0;
        let receiver = &mut self.receivers[at];
        if !mortal {
            receiver.awake = !receiver.awake;
        } else if receiver.socket.is_some() {
            // Closing would lose unread messages.
            receiver.read(usize::MAX);
            receiver.socket = None;
        } else {
            receiver.socket = receiver.name.as_ref().map(bound);
        }
    }

    fn run(&mut self, timeout: Duration) {
        for seen in self.harness.run(timeout) {
            match seen {
                Seen::Undelivered { channel, seq, .. } => {
                    let (to, number) = self.queued[&(channel, seq)];
                    let sender = self.channels.iter().position(|&one| one == channel).unwrap();
                    let sequence = self.sequences.get_mut(&(sender, to)).unwrap();
                    assert!(sequence.undelivered.insert(number), "reported twice");
                }
                Seen::Drained { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn step(&mut self) {
        match self.random.below(10) {
            0..5 => self.send(),
            5 => self.change_a_receiver(),
            _ => {
                let at_most = self.random.below(20);
                let at = self.random.below(self.receivers.len());
                if self.receivers[at].awake {
                    self.receivers[at].read(at_most);
                }
            }
        }
        // The reactor runs at some steps, and waits for a moment at fewer.
        match self.random.below(20) {
            0 => self.run(Duration::from_millis(2)),
            1..8 => self.run(Duration::ZERO),
            _ => {}
        }
    }

    fn finish(&mut self) {
        for receiver in &mut self.receivers {
            if receiver.socket.is_none() {
                receiver.socket = receiver.name.as_ref().map(bound);
            }
        }
        let end = Instant::now() + common::TIMEOUT;
        let waits =
            |traffic: &Self| traffic.channels.iter().any(|&one| traffic.harness.queued(one).0 > 0);
        while waits(self) {
            assert!(Instant::now() < end, "too slow");
            self.receivers.iter_mut().for_each(|one| one.read(usize::MAX));
            self.run(Duration::from_millis(2));
        }
        self.receivers.iter_mut().for_each(|one| one.read(usize::MAX));
        for ((sender, to), sequence) in &self.sequences {
            let expected: Vec<usize> =
                (0..sequence.taken).filter(|one| !sequence.undelivered.contains(one)).collect();
            let got = self.receivers[*to].got.remove(sender).unwrap_or_default();
            assert_eq!(got, expected, "from {sender} to {to}");
        }
        assert!(self.receivers.iter().all(|one| one.got.is_empty()), "from an unknown sender");
    }
}

#[test]
fn messages_arrive_in_order_and_without_gaps() {
    for seed in 1..=4 {
        println!("seed {seed}");
        let mut traffic = Traffic::new(seed);
        for _ in 0..3_000 {
            traffic.step();
        }
        traffic.finish();
    }
}
