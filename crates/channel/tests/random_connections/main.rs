//! Random connections that are lost and replaced, queues that are cut by timeouts and limits, and
//! channels that are removed within a turn. After each step the accounts are exact. What waits causes
//! few wakeups, what expires is reported, and each accepted message is received or reported, once.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod client;
#[path = "../common/mod.rs"]
mod common;
mod ledger;
mod peer;
mod server;

use std::time::{Duration, Instant};

use client::Client;
use common::{Harness, Random, Seen, TIMEOUT, seeds};
use server::Server;

/// How long nothing acts but the reactor, to count its wakeups.
const QUIET: Duration = Duration::from_millis(20);

/// The wakeups of one queue within `QUIET` that achieve nothing: retries with growing pauses, and
/// comparisons of the clocks of its deadlines. A timer in the past causes hundreds.
const USELESS: usize = 10;

struct World {
    random: Random,
    harness: Harness,
    clients: Vec<Client>,
    servers: Vec<Server>,
}

impl World {
    fn new(seed: u64) -> Self {
        let (mut random, mut harness) = (Random::new(seed), Harness::new());
        let clients = (0..5).map(|_| Client::new(&mut harness, &mut random)).collect();
        let servers = (0..2).map(|_| Server::new(&mut harness, &mut random)).collect();
        Self { random, harness, clients, servers }
    }

    /// Does what a program may do at any time, also within a turn.
    fn act(&mut self) {
        let Self { random, harness, clients, servers } = self;
        let (client, server) = (random.below(clients.len()), random.below(servers.len()));
        let index = clients[client].index;
        match random.below(40) {
            0..10 => clients[client].send(harness, random),
            10..20 => clients[client].act_as_peer(random),
            20..24 => clients[client].replace(harness, random),
            24 => clients[client].hold(harness),
            25..27 => harness.reactor.set_reading(index, random.once_in(2)),
            27 => harness.reactor.set_reports_progress(index, random.once_in(2)),
            28 => harness.reactor.set_busy(index, random.once_in(4)),
            29 => {
                drop(harness.reactor.remove(index));
                clients[client] = Client::new(harness, random);
            }
            30..35 => servers[server].send(harness, random),
            35..39 => servers[server].act_as_receiver(random),
            _ if random.once_in(4) => {
                drop(harness.reactor.remove(servers[server].index));
                servers[server] = Server::new(harness, random);
            }
            _ => {}
        }
    }

    /// Handles what is ready, after at most `timeout`. Returns whether there were turns, and events.
    fn run(&mut self, timeout: Duration, acts: bool) -> (bool, bool) {
        self.harness.reactor.flush();
        self.harness.reactor.poll(timeout).unwrap();
        let (mut turns, mut events) = (false, false);
        while let Some((index, seen)) = self.harness.turn_of_channel() {
            turns = true;
            events |= !seen.is_empty();
            self.on_events(index, seen);
            self.check();
            if acts && self.random.once_in(4) {
                self.act();
            }
        }
        (turns, events)
    }

    fn on_events(&mut self, index: usize, seen: Vec<Seen>) {
        let Self { random, harness, clients, servers } = self;
        if let Some(client) = clients.iter_mut().find(|it| it.index == index) {
            client.on_events(harness, random, seen);
        } else if let Some(server) = servers.iter_mut().find(|it| it.index == index) {
            server.on_events(seen);
        } else {
            assert!(seen.is_empty(), "no channel has the index {index}: {seen:?}");
        }
    }

    fn check(&self) {
        self.clients.iter().for_each(|client| client.check(&self.harness));
        self.servers.iter().for_each(|server| server.check(&self.harness));
    }

    /// Checks that the reactor comes to rest, and wakes up seldom then.
    fn rest(&mut self) {
        let before = Instant::now();
        // A timer that has expired may wait for its turn.
        let mut runs = 0;
        while self.run(Duration::from_millis(1), false).1 {
            runs += 1;
            assert!(runs < 100_000, "events without end");
        }
        self.clients.iter().for_each(|client| client.check_expired(&self.harness, before));
        let (end, mut useless) = (Instant::now() + QUIET, 0);
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            let before = self.accounts();
            let (turns, events) = self.run(left, false);
            useless += usize::from(turns && !events && self.accounts() == before);
        }
        let queues = self.clients.len() + 6 * self.servers.len();
        assert!(useless < USELESS * queues, "{useless} useless wakeups");
    }

    /// Returns what changes if a wakeup is of use.
    fn accounts(&self) -> Vec<(usize, usize, usize)> {
        let indices = self.clients.iter().map(|it| it.index);
        let indices = indices.chain(self.servers.iter().map(|it| it.index));
        indices.map(|index| self.harness.queued(index)).collect()
    }

    /// Receives everything, and checks that each message was received or reported.
    fn finish(&mut self) {
        let end = Instant::now() + TIMEOUT;
        loop {
            let Self { random, harness, clients, servers } = self;
            clients.iter_mut().for_each(|client| client.finish(harness, random));
            servers.iter_mut().for_each(Server::finish);
            let (turns, _) = self.run(Duration::from_millis(2), false);
            if !turns && self.accounts().iter().all(|queued| *queued == (0, 0, 0)) {
                break;
            }
            assert!(Instant::now() < end, "too slow: {:?}", self.accounts());
        }
        let Self { random, harness, clients, servers } = self;
        clients.iter_mut().for_each(|client| client.finish(harness, random));
        servers.iter_mut().for_each(Server::finish);
        self.clients.iter().for_each(Client::assert_settled);
        self.servers.iter().for_each(Server::assert_settled);
    }
}

fn run(seed: u64, steps: usize) {
    println!("seed {seed}");
    let mut world = World::new(seed);
    for step in 0..steps {
        world.act();
        world.check();
        match world.random.below(20) {
            0 => drop(world.run(Duration::from_millis(2), true)),
            1..8 => drop(world.run(Duration::ZERO, true)),
            _ => {}
        }
        if step % 50 == 49 {
            world.rest();
        }
    }
    world.finish();
}

#[test]
fn accounts_are_exact_and_waiting_costs_nothing() {
    for seed in seeds(5) {
        run(seed, 1_000);
    }
}
