//! A receiver that does not read delays no other receiver, and loses no message.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use common::{Harness, bound, client_of, limits, name, number, numbered, recv};
use fdwire_channel::Sent;
use fdwire_socket::{Address, Datagram};

/// A receiver, with the numbers of messages that were sent to it and that it has received.
struct Destination {
    socket: Datagram,
    name: Address,
    sent: usize,
    got: usize,
}

impl Destination {
    fn new((socket, name): (Datagram, Address)) -> Self {
        Self { socket, name, sent: 0, got: 0 }
    }

    fn named() -> Self {
        let name = name();
        Self::new((bound(&name), name))
    }

    fn send(&mut self, harness: &mut Harness, channel: usize, len: usize) -> Sent {
        let sent = harness.send(channel, &numbered(self.sent, len), Some(&self.name));
        self.sent += 1;
        sent
    }

    /// Reads the messages that are there, and checks their order.
    fn read(&mut self, at_most: usize) {
        for _ in 0..at_most {
            let Some((bytes, _)) = recv(&self.socket) else { return };
            assert_eq!(number(&bytes), self.got, "order");
            self.got += 1;
        }
    }
}

/// Sends `count` messages, waiting for `Drained` whenever one is queued, while the receiver reads.
fn serve(harness: &mut Harness, channel: usize, live: &mut Destination, count: usize, len: usize) {
    let target = live.sent + count;
    let mut waiting = false;
    harness.run_until(|harness, seen| {
        let drained = |seen: &common::Seen| match seen {
            common::Seen::Drained { to, .. } => to.as_ref() == Some(&live.name),
            common::Seen::Undelivered { .. } => panic!("{seen:?}"),
            _ => false,
        };
        if seen.iter().any(drained) {
            waiting = false;
        }
        while !waiting && live.sent < target {
            waiting = live.send(harness, channel, len) != Sent::Now;
        }
        live.read(usize::MAX);
        live.got == target
    });
}

fn resume(harness: &mut Harness, stuck: &mut [Destination]) {
    harness.run_until(|_, _| {
        stuck.iter_mut().for_each(|one| one.read(usize::MAX));
        stuck.iter().all(|one| one.got == one.sent)
    });
}

fn stuck_beside_live(
    server: (Datagram, Address),
    connected: bool,
    stuck: usize,
    (each, len): (usize, usize),
) {
    let (socket, server) = server;
    let make =
        || if connected { Destination::new(client_of(&server)) } else { Destination::named() };
    let mut all: Vec<_> = (0..stuck).map(|_| make()).collect();
    let mut live = make();
    let mut harness = Harness::new();
    let channel = harness.add(socket, limits());
    for one in &mut all {
        for _ in 0..each {
            one.send(&mut harness, channel, len);
        }
    }
    let begin = Instant::now();
    serve(&mut harness, channel, &mut live, 10_000, 64);
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(10), "10,000 messages beside {stuck} stuck: {took:?}");
    println!("connected {connected}, {stuck} stuck with {each} of {len}: {took:?}");
    // The same once more, after the reactor has retried the stuck receivers.
    harness.wakeups_in(Duration::from_millis(100));
    serve(&mut harness, channel, &mut live, 1_000, 64);
    resume(&mut harness, &mut all);
    assert_eq!(harness.queued(channel), (0, 0, 0));
}

fn server() -> (Datagram, Address) {
    let name = name();
    (bound(&name), name)
}

#[test]
fn stuck_named_receivers_delay_no_other() {
    for stuck in [1, 3, 8, 30] {
        stuck_beside_live(server(), false, stuck, (500, 64));
    }
    stuck_beside_live(server(), false, 3, (20, 100_000));
}

#[test]
fn stuck_connected_clients_delay_no_other() {
    for stuck in [1, 3, 8, 16] {
        stuck_beside_live(server(), true, stuck, (500, 64));
    }
}

#[test]
fn stuck_connected_clients_with_large_messages_delay_no_other() {
    stuck_beside_live(server(), true, 1, (10, 200_000));
    stuck_beside_live(server(), true, 2, (10, 100_000));
    stuck_beside_live(server(), true, 8, (20, 20_000));
}

#[test]
fn stuck_clients_delay_none_of_several_active_clients() {
    let (socket, server) = server();
    let mut stuck: Vec<_> = (0..8).map(|_| Destination::new(client_of(&server))).collect();
    let mut live: Vec<_> = (0..5).map(|_| Destination::new(client_of(&server))).collect();
    let mut harness = Harness::new();
    let channel = harness.add(socket, limits());
    for one in &mut stuck {
        for _ in 0..300 {
            one.send(&mut harness, channel, 64);
        }
    }
    let begin = Instant::now();
    let mut waiting: HashMap<Vec<u8>, bool> = HashMap::new();
    let mut round = 0_usize;
    harness.run_until(|harness, seen| {
        for one in seen {
            if let common::Seen::Drained { to: Some(to), .. } = one {
                waiting.insert(to.as_bytes().to_vec(), false);
            }
        }
        round += 1;
        for (index, one) in live.iter_mut().enumerate() {
            let key = one.name.as_bytes().to_vec();
            while !waiting.get(&key).copied().unwrap_or(false) && one.sent < 4_000 {
                let queued = one.send(harness, channel, 20 + one.sent % 400) != Sent::Now;
                waiting.insert(key.clone(), queued);
            }
            // They read at different paces.
            one.read(1 + (round * 7 + index * 5) % 11);
        }
        live.iter().all(|one| one.got == 4_000)
    });
    println!("five active beside eight stuck clients: {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(10));
    resume(&mut harness, &mut stuck);
}

#[test]
fn stuck_receivers_do_not_take_ever_more_of_the_send_buffer() {
    let (socket, server) = server();
    let mut stuck: Vec<_> = (0..8).map(|_| Destination::new(client_of(&server))).collect();
    let mut live = Destination::new(client_of(&server));
    let mut harness = Harness::new();
    let limits =
        fdwire_channel::Limits { send_timeout: Some(Duration::from_millis(20)), ..limits() };
    let channel = harness.add(socket, limits);
    // Messages to the stuck receivers expire, and new ones are sent, again and again.
    let end = Instant::now() + Duration::from_secs(3);
    let mut taken = Vec::new();
    while Instant::now() < end {
        for one in &mut stuck {
            for _ in 0..5 {
                one.send(&mut harness, channel, 64);
            }
        }
        harness.run(Duration::from_millis(10));
        live.send(&mut harness, channel, 64);
        live.read(usize::MAX);
        taken.push(
            harness.reactor.channel(channel).unwrap().datagram_socket().unwrap().unsent().unwrap(),
        );
    }
    let half = taken[taken.len() / 2];
    let last = taken[taken.len() - 1];
    println!("held by eight stuck receivers after 1.5 s and 3 s: {half}, {last}");
    assert!(last <= half + 8 * 2 * 768, "{half} {last}");
}
