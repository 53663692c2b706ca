//! What one sender sends to one receiver arrives in order, once, and whole.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use common::{Seen, World, bound, limits, name, number, numbered, recv};
use fdwire_channel::Sent;
use fdwire_socket::{Address, Datagram};

/// Sends on `channel` to a receiver that reads `pace` messages at a time, mixing messages that are
/// queued with messages that could go out directly.
fn in_order(mut world: World, channel: usize, receiver: &Datagram, to: Option<&Address>) {
    const COUNT: usize = 5_000;
    let (mut sent, mut got, mut queued, mut direct, mut round) = (0, 0, 0, 0, 0_usize);
    let mut drains = 0;
    world.work_until(|world, seen| {
        drains += seen.iter().filter(|seen| matches!(seen, Seen::Drained { .. })).count();
        round += 1;
        for _ in 0..(round * 13) % 37 {
            if sent == COUNT {
                break;
            }
            let size = [0, 10, 300, 5_000, 70_000][sent * 7 % 97 % 5];
            match world.send(channel, &numbered(sent, size), to) {
                Sent::Now => direct += 1,
                Sent::Queued(_) => queued += 1,
            }
            sent += 1;
        }
        // At times nothing, at times everything.
        let pace = if round.is_multiple_of(50) { usize::MAX } else { round * 5 % 23 };
        for _ in 0..pace {
            let Some((bytes, _)) = recv(receiver) else { break };
            assert_eq!(number(&bytes), got);
            got += 1;
        }
        got == COUNT && world.queued(channel).0 == 0
    });
    assert!(direct > 0 && queued > 0 && drains > 0, "{direct} {queued} {drains}");
    assert_eq!(recv(receiver).map(|(bytes, _)| bytes), None, "doubled");
    assert_eq!(world.counters(channel).sent, COUNT as u64);
    assert_eq!(world.counters(channel).undelivered, 0);
}

#[test]
fn to_a_peer_that_was_connected_by_name() {
    let name = name();
    let receiver = bound(&name);
    let socket = Datagram::new().unwrap();
    socket.connect(&name).unwrap();
    let mut world = World::new();
    let channel = world.add(socket, limits());
    in_order(world, channel, &receiver, None);
}

#[test]
fn to_the_other_end_of_a_pair() {
    let (socket, receiver) = Datagram::pair().unwrap();
    let mut world = World::new();
    let channel = world.add(socket, limits());
    in_order(world, channel, &receiver, None);
}

#[test]
fn to_a_name() {
    let name = name();
    let receiver = bound(&name);
    let mut world = World::new();
    let channel = world.add(bound(&common::name()), limits());
    in_order(world, channel, &receiver, Some(&name));
}

#[test]
fn to_a_client_that_is_connected_to_us() {
    let name = name();
    let socket = bound(&name);
    let (receiver, client) = common::client_of(&name);
    let mut world = World::new();
    let channel = world.add(socket, limits());
    in_order(world, channel, &receiver, Some(&client));
}

#[test]
fn to_oneself() {
    let name = name();
    let mut world = World::new();
    let channel = world.add(bound(&name), limits());
    world.reactor.set_reading(channel, true).unwrap();
    for message in 0..2_000 {
        world.send(channel, &numbered(message, 1_000), Some(&name));
    }
    let mut got = 0;
    world.work_until(|_, seen| {
        for seen in seen {
            if let Seen::Message { bytes, from, .. } = seen {
                assert_eq!((number(&bytes), from.as_deref()), (got, Some(name.as_bytes())));
                got += 1;
            }
        }
        got == 2_000
    });
}

#[test]
fn a_long_queue_to_a_fast_receiver_leaves_room_for_others() {
    let (busy, receiver) = Datagram::pair().unwrap();
    let (quiet, other) = Datagram::pair().unwrap();
    let mut world = World::new();
    let busy = world.add(busy, limits());
    let quiet = world.add(quiet, limits());
    world.reactor.set_reading(quiet, true).unwrap();
    for message in 0..50_000 {
        world.send(busy, &numbered(message, 10), None);
    }
    // A thread reads as fast as it can, so that the queue could go out in one go.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut got, end) = (0, Instant::now() + common::PATIENCE);
            while got < 50_000 {
                assert!(Instant::now() < end);
                match recv(&receiver) {
                    Some((bytes, _)) => {
                        assert_eq!(number(&bytes), got);
                        got += 1;
                    }
                    None => std::thread::yield_now(),
                }
            }
        });
        let (mut asked, mut behind) = (None, 0);
        world.work_until(|world, seen| {
            if seen.iter().any(|seen| matches!(seen, Seen::Message { .. })) {
                asked = None;
            }
            let before = *asked.get_or_insert_with(|| {
                other.send(b"1", &[], None).unwrap();
                world.queued(busy).0
            });
            // Between the question and its answer at most a burst of the long queue went out, or
            // two when the question came in the middle of a turn.
            behind = behind.max(before - world.queued(busy).0);
            world.queued(busy).0 == 0
        });
        assert!(behind <= 3 * 128, "{behind} messages before the answer");
    });
}

#[test]
fn flushing_is_told_once_when_the_queue_is_empty() {
    let (socket, receiver) = Datagram::pair().unwrap();
    let mut world = World::new();
    let channel = world.add(socket, limits());
    world.reactor.set_reports_progress(channel, true);
    let mut last = Sent::Now;
    for message in 0..1_000 {
        last = world.send(channel, &numbered(message, 500), None);
    }
    let Sent::Queued(last) = last else { panic!("nothing was queued") };
    let (oldest, next) = world.reactor.channel(channel).unwrap().seqs();
    assert!(oldest.is_some());
    assert_eq!(next, last + 1);
    let (mut drained, mut progress) = (0, 0);
    world.work_until(|world, seen| {
        while recv(&receiver).is_some() {}
        for seen in seen {
            match seen {
                Seen::Drained { to, .. } => {
                    assert_eq!(to, None);
                    drained += 1;
                }
                Seen::Progress => progress += 1,
                other => panic!("{other:?}"),
            }
        }
        world.queued(channel).0 == 0
    });
    assert_eq!((drained, world.reactor.channel(channel).unwrap().seqs()), (1, (None, last + 1)));
    assert!(progress >= 1);
    assert!(world.wakeups_in(Duration::from_millis(50)) <= 1, "nothing is left to do");
}
