//! What can't be delivered is told, once for each message, and costs no time.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use common::{Seen, World, bound, client_of, limits, name, number, numbered, recv};
use fdwire_channel::{Limits, SendError, Sent, UndeliveredReason};
use fdwire_socket::{Address, Datagram, Errno};

fn impatient() -> Limits {
    Limits { send_timeout: Some(Duration::from_millis(100)), ..limits() }
}

/// Works until the queues are empty; what was given up, and that each queue was told empty once.
fn given_up(world: &mut World, channel: usize) -> Vec<(UndeliveredReason, u64)> {
    let before = world.counters(channel).undelivered;
    let (mut all, mut drained) = (Vec::new(), 0);
    world.work_until(|world, seen| {
        for seen in seen {
            match seen {
                Seen::Undelivered { reason, seq, .. } => {
                    assert_eq!(drained, 0, "the queue was told empty before its last message");
                    all.push((reason, seq));
                }
                Seen::Drained { .. } => drained += 1,
                other => panic!("{other:?}"),
            }
        }
        world.queued(channel).0 == 0
    });
    assert_eq!(drained, 1);
    assert_eq!(world.counters(channel).undelivered - before, all.len() as u64);
    // A timer that was set, and news that is asked for, come once more.
    assert!(world.wakeups_in(Duration::from_millis(150)) <= 2, "nothing is left to do");
    all
}

fn fill(world: &mut World, channel: usize, to: Option<&Address>, queued: usize) -> Vec<u64> {
    let mut seqs = Vec::new();
    for message in 0.. {
        if let Sent::Queued(seq) = world.send(channel, &numbered(message, 64), to) {
            seqs.push(seq);
            if seqs.len() == queued {
                break;
            }
        }
    }
    seqs
}

fn expiry(socket: Datagram, to: Option<&Address>) {
    let mut world = World::new();
    let channel = world.add(socket, impatient());
    let mut filling = Duration::ZERO;
    for _ in 0..2 {
        let begin = Instant::now();
        let seqs = fill(&mut world, channel, to, 1_000);
        filling += begin.elapsed();
        let all = given_up(&mut world, channel);
        let took = begin.elapsed();
        assert!(took >= Duration::from_millis(100), "{took:?}");
        // A few may have gone as probes.
        assert!(
            all.len() > 900 && all.iter().all(|(reason, _)| *reason == UndeliveredReason::Expired),
            "{all:?}"
        );
        assert!(all.is_sorted_by(|(_, one), (_, next)| one < next));
        assert_eq!(all.last().map(|(_, seq)| seq), seqs.last());
    }
    // As often as there is something to expire, and now and then a look: no timer is left behind. What
    // was queued in one moment expires in one, so on a busy machine it takes more of them.
    let most = 100 + 20 * filling.as_millis();
    assert!((world.wakeups as u128) < most, "{} in {filling:?}", world.wakeups);
}

#[test]
fn messages_to_a_full_name_expire() {
    let name = name();
    let _receiver = bound(&name);
    expiry(bound(&common::name()), Some(&name));
}

#[test]
fn messages_to_a_full_peer_expire() {
    let (socket, _receiver) = Datagram::pair().unwrap();
    expiry(socket, None);
}

#[test]
fn messages_to_a_client_that_holds_its_share_expire() {
    let name = name();
    let socket = bound(&name);
    let (_client, to) = client_of(&name);
    expiry(socket, Some(&to));
}

fn death(socket: Datagram, receiver: Datagram, to: Option<&Address>) {
    let mut world = World::new();
    let channel = world.add(socket, limits());
    let seqs = fill(&mut world, channel, to, 1_000);
    drop(receiver);
    let all = given_up(&mut world, channel);
    let refused: Vec<_> =
        seqs.iter().map(|&seq| (UndeliveredReason::Refused(Errno::CONNREFUSED), seq)).collect();
    assert_eq!(all, refused);
    assert!(world.wakeups < 30, "{}", world.wakeups);
    for _ in 0..3 {
        let again = world.try_send(channel, b"1", &[], to);
        assert_eq!(again, Err(SendError::Refused(Errno::CONNREFUSED)), "and so it stays");
    }
    assert_eq!(world.queued(channel), (0, 0, 0));
}

#[test]
fn messages_to_a_name_that_dies_are_refused() {
    let name = name();
    death(bound(&common::name()), bound(&name), Some(&name));
}

#[test]
fn messages_to_a_peer_that_dies_are_refused() {
    let name = name();
    let receiver = bound(&name);
    let socket = Datagram::new().unwrap();
    socket.connect(&name).unwrap();
    death(socket, receiver, None);
    let (socket, receiver) = Datagram::pair().unwrap();
    death(socket, receiver, None);
}

#[test]
fn messages_to_a_client_that_dies_are_refused() {
    let name = name();
    let socket = bound(&name);
    let (client, to) = client_of(&name);
    death(socket, client, Some(&to));
}

#[test]
fn messages_to_a_name_go_to_whoever_has_it_next() {
    let name = name();
    let first = bound(&name);
    let mut world = World::new();
    let channel = world.add(bound(&common::name()), limits());
    let queued = fill(&mut world, channel, Some(&name), 1_000).len();
    let sent = usize::try_from(world.counters(channel).sent).unwrap();
    // Both happen before the sender looks; the second is full at once, and nobody reads.
    drop(first);
    let second = bound(&name);
    world.wakeups_in(Duration::from_millis(100));
    assert!(world.wakeups < 20, "{} wake-ups while it is full", world.wakeups);
    let mut next = sent - queued;
    world.work_until(|world, seen| {
        assert!(seen.iter().all(|seen| !matches!(seen, Seen::Undelivered { .. })), "{seen:?}");
        while let Some((bytes, _)) = recv(&second) {
            assert_eq!(number(&bytes), next, "order, from where the first had not taken it");
            next += 1;
        }
        next == sent && world.queued(channel).0 == 0
    });
}

#[test]
fn a_receiver_that_takes_from_another_only_is_told_as_such() {
    let (name, other) = (name(), name());
    let receiver = bound(&name);
    let _other = bound(&other);
    let mut world = World::new();
    let channel = world.add(bound(&common::name()), limits());
    let seqs = fill(&mut world, channel, Some(&name), 10);
    receiver.connect(&other).unwrap();
    // The kernel drops what waits in a socket that turns to somebody, or it is read: room either way.
    while recv(&receiver).is_some() {}
    let all = given_up(&mut world, channel);
    let refused: Vec<_> =
        seqs.iter().map(|&seq| (UndeliveredReason::Refused(Errno::PERM), seq)).collect();
    assert_eq!(all, refused);
}

#[test]
fn what_waits_costs_next_to_no_wakeups() {
    // One of each sort of lane, all stuck for good.
    let server = name();
    let socket = bound(&server);
    let (_client, client) = client_of(&server);
    let (_large, large) = client_of(&server);
    let named = name();
    let _named = bound(&named);
    let (pair, _end) = Datagram::pair().unwrap();
    let mut world = World::new();
    let channel = world.add(socket, limits());
    let pair = world.add(pair, limits());
    fill(&mut world, channel, Some(&client), 100);
    fill(&mut world, channel, Some(&named), 100);
    fill(&mut world, pair, None, 100);
    for _ in 0..10 {
        world.send(channel, &numbered(0, 200_000), Some(&large));
        world.send(channel, &numbered(0, 10_000), Some(&large));
    }
    world.wakeups_in(Duration::from_millis(300));
    let wakeups = world.wakeups_in(Duration::from_millis(500));
    assert!(wakeups < 25, "{wakeups} in half a second");
}
