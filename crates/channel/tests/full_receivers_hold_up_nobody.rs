//! Somebody who doesn't read costs nobody else anything, and loses nothing.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use common::{World, bound, client_of, limits, name, number, numbered, recv};
use fdwire_channel::Sent;
use fdwire_socket::{Address, Datagram};

/// A destination with what it has been sent and has received.
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

    fn send(&mut self, world: &mut World, channel: usize, len: usize) -> Sent {
        let sent = world.send(channel, &numbered(self.sent, len), Some(&self.name));
        self.sent += 1;
        sent
    }

    /// Reads what is there, which is what comes next.
    fn read(&mut self, at_most: usize) {
        for _ in 0..at_most {
            let Some((bytes, _)) = recv(&self.socket) else { return };
            assert_eq!(number(&bytes), self.got, "order");
            self.got += 1;
        }
    }
}

/// Sends `count` messages by the README's loop, with the receiver reading as they come.
fn serve(world: &mut World, channel: usize, live: &mut Destination, count: usize, len: usize) {
    let target = live.sent + count;
    let mut waiting = false;
    world.work_until(|world, seen| {
        let drained = |seen: &common::Seen| match seen {
            common::Seen::Drained { to, .. } => to.as_ref() == Some(&live.name),
            common::Seen::Undelivered { .. } => panic!("{seen:?}"),
            _ => false,
        };
        if seen.iter().any(drained) {
            waiting = false;
        }
        while !waiting && live.sent < target {
            waiting = live.send(world, channel, len) != Sent::Now;
        }
        live.read(usize::MAX);
        live.got == target
    });
}

fn resume(world: &mut World, stuck: &mut [Destination]) {
    world.work_until(|_, _| {
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
    let mut world = World::new();
    let channel = world.add(socket, limits());
    for one in &mut all {
        for _ in 0..each {
            one.send(&mut world, channel, len);
        }
    }
    let begin = Instant::now();
    serve(&mut world, channel, &mut live, 10_000, 64);
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(10), "10,000 messages beside {stuck} stuck: {took:?}");
    println!("connected {connected}, {stuck} stuck with {each} of {len}: {took:?}");
    // It is no matter of luck: the same again, with pauses in which the stuck ones are tried.
    world.wakeups_in(Duration::from_millis(100));
    serve(&mut world, channel, &mut live, 1_000, 64);
    resume(&mut world, &mut all);
    assert_eq!(world.queued(channel), (0, 0, 0));
}

fn server() -> (Datagram, Address) {
    let name = name();
    (bound(&name), name)
}

#[test]
fn named_receivers_that_never_read() {
    for stuck in [1, 3, 8, 30] {
        stuck_beside_live(server(), false, stuck, (500, 64));
    }
    stuck_beside_live(server(), false, 3, (20, 100_000));
}

#[test]
fn connected_clients_that_never_read() {
    for stuck in [1, 3, 8, 16] {
        stuck_beside_live(server(), true, stuck, (500, 64));
    }
}

#[test]
fn a_connected_client_that_is_stuck_with_large_messages() {
    stuck_beside_live(server(), true, 1, (10, 200_000));
    stuck_beside_live(server(), true, 2, (10, 100_000));
    stuck_beside_live(server(), true, 8, (20, 20_000));
}

#[test]
fn several_live_clients_beside_stuck_ones() {
    let (socket, server) = server();
    let mut stuck: Vec<_> = (0..8).map(|_| Destination::new(client_of(&server))).collect();
    let mut live: Vec<_> = (0..5).map(|_| Destination::new(client_of(&server))).collect();
    let mut world = World::new();
    let channel = world.add(socket, limits());
    for one in &mut stuck {
        for _ in 0..300 {
            one.send(&mut world, channel, 64);
        }
    }
    let begin = Instant::now();
    let mut waiting: HashMap<Vec<u8>, bool> = HashMap::new();
    let mut round = 0_usize;
    world.work_until(|world, seen| {
        for one in seen {
            if let common::Seen::Drained { to: Some(to), .. } = one {
                waiting.insert(to.as_bytes().to_vec(), false);
            }
        }
        round += 1;
        for (index, one) in live.iter_mut().enumerate() {
            let key = one.name.as_bytes().to_vec();
            while !waiting.get(&key).copied().unwrap_or(false) && one.sent < 4_000 {
                let queued = one.send(world, channel, 20 + one.sent % 400) != Sent::Now;
                waiting.insert(key.clone(), queued);
            }
            // They read at different paces, and never all together.
            one.read(1 + (round * 7 + index * 5) % 11);
        }
        live.iter().all(|one| one.got == 4_000)
    });
    println!("five live beside eight stuck: {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(10));
    resume(&mut world, &mut stuck);
}

#[test]
fn what_is_stuck_for_long_takes_no_more_and_more() {
    let (socket, server) = server();
    let mut stuck: Vec<_> = (0..8).map(|_| Destination::new(client_of(&server))).collect();
    let mut live = Destination::new(client_of(&server));
    let mut world = World::new();
    let limits =
        fdwire_channel::Limits { send_timeout: Some(Duration::from_millis(20)), ..limits() };
    let channel = world.add(socket, limits);
    // Messages to the stuck ones expire again and again, and each time new ones come.
    let end = Instant::now() + Duration::from_secs(3);
    let mut taken = Vec::new();
    while Instant::now() < end {
        for one in &mut stuck {
            for _ in 0..5 {
                one.send(&mut world, channel, 64);
            }
        }
        world.work(Duration::from_millis(10));
        live.send(&mut world, channel, 64);
        live.read(usize::MAX);
        taken.push(
            world.reactor.channel(channel).unwrap().datagram_socket().unwrap().unsent().unwrap(),
        );
    }
    let half = taken[taken.len() / 2];
    let last = taken[taken.len() - 1];
    println!("held by eight stuck after 1.5 s and 3 s: {half}, {last}");
    assert!(last <= half + 8 * 2 * 768, "{half} {last}");
}
