//! Random senders, receivers, sizes, pauses, deaths and rebirths: each receiver sees of each sender
//! a sequence in order and without gaps, except for what the sender was told is undelivered.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use common::{Seen, World, bound, limits, name, recv};
use fdwire_channel::{SendError, Sent};
use fdwire_socket::{Address, Datagram};

/// xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }
}

enum Role {
    /// Bound to its name by whoever is alive; mortal.
    Named,
    /// Connected to this sender: it hears nobody else.
    ClientOf(usize),
    /// The end of a pair whose other end is this sender.
    PairOf(usize),
}

struct Receiver {
    role: Role,
    name: Option<Address>,
    socket: Option<Datagram>,
    /// Does it read now?
    awake: bool,
    /// By sender: the numbers that have arrived.
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

/// What one sender has sent to one receiver.
#[derive(Default)]
struct Sequence {
    taken: usize,
    undelivered: HashSet<usize>,
}

struct Play {
    random: Random,
    world: World,
    channels: Vec<usize>,
    receivers: Vec<Receiver>,
    sequences: HashMap<(usize, usize), Sequence>,
    queued: HashMap<(usize, u64), (usize, usize)>,
}

impl Play {
    fn new(seed: u64) -> Self {
        let (mut world, mut channels, mut receivers) = (World::new(), Vec::new(), Vec::new());
        for sender in 0..3 {
            let server = name();
            channels.push(world.add(bound(&server), limits()));
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
        channels.push(world.add(one, limits()));
        receivers.push((Role::PairOf(3), None, other));
        let receivers = receivers.into_iter().map(|(role, name, socket)| {
            let (socket, got) = (Some(socket), HashMap::new());
            Receiver { role, name, socket, awake: true, got }
        });
        Self {
            random: Random(seed),
            world,
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
            match self.world.try_send(self.channels[sender], &bytes, &[], name) {
                Ok(sent) => {
                    if let Sent::Queued(seq) = sent {
                        self.queued.insert((self.channels[sender], seq), (to, sequence.taken));
                    }
                    sequence.taken += 1;
                }
                // Nobody has the name.
                Err(SendError::Refused(_)) => return,
                Err(error) => panic!("the limit is far: {error:?}"),
            }
        }
    }

    fn turn_of_fate(&mut self) {
        let at = self.random.below(self.receivers.len());
        let dies = matches!(self.receivers[at].role, Role::Named) && self.random.below(3) == 0;
        let receiver = &mut self.receivers[at];
        if !dies {
            receiver.awake = !receiver.awake;
        } else if receiver.socket.is_some() {
            // What it had not read would die with it.
            receiver.read(usize::MAX);
            receiver.socket = None;
        } else {
            receiver.socket = receiver.name.as_ref().map(bound);
        }
    }

    fn work(&mut self, timeout: Duration) {
        for seen in self.world.work(timeout) {
            match seen {
                Seen::Undelivered { channel, seq, .. } => {
                    let (to, number) = self.queued[&(channel, seq)];
                    let sender = self.channels.iter().position(|&one| one == channel).unwrap();
                    let sequence = self.sequences.get_mut(&(sender, to)).unwrap();
                    assert!(sequence.undelivered.insert(number), "told twice");
                }
                Seen::Drained { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn step(&mut self) {
        match self.random.below(10) {
            0..5 => self.send(),
            5 => self.turn_of_fate(),
            _ => {
                let at_most = self.random.below(20);
                let at = self.random.below(self.receivers.len());
                if self.receivers[at].awake {
                    self.receivers[at].read(at_most);
                }
            }
        }
        // At times, and then it waits for a moment too.
        match self.random.below(20) {
            0 => self.work(Duration::from_millis(2)),
            1..8 => self.work(Duration::ZERO),
            _ => {}
        }
    }

    fn finish(&mut self) {
        for receiver in &mut self.receivers {
            if receiver.socket.is_none() {
                receiver.socket = receiver.name.as_ref().map(bound);
            }
        }
        let end = Instant::now() + common::PATIENCE;
        let waits = |play: &Self| play.channels.iter().any(|&one| play.world.queued(one).0 > 0);
        while waits(self) {
            assert!(Instant::now() < end, "too slow");
            self.receivers.iter_mut().for_each(|one| one.read(usize::MAX));
            self.work(Duration::from_millis(2));
        }
        self.receivers.iter_mut().for_each(|one| one.read(usize::MAX));
        for ((sender, to), sequence) in &self.sequences {
            let expected: Vec<usize> =
                (0..sequence.taken).filter(|one| !sequence.undelivered.contains(one)).collect();
            let got = self.receivers[*to].got.remove(sender).unwrap_or_default();
            assert_eq!(got, expected, "from {sender} to {to}");
        }
        assert!(self.receivers.iter().all(|one| one.got.is_empty()), "from nobody");
    }
}

#[test]
fn sequences_have_no_gaps_and_keep_their_order() {
    for seed in 1..=4 {
        println!("seed {seed}");
        let mut play = Play::new(0x9e37_79b9_7f4a_7c15_u64.rotate_left(seed * 5));
        for _ in 0..3_000 {
            play.step();
        }
        play.finish();
    }
}
