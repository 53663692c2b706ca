//! Messages from one sender to one receiver arrive in order, once, and whole.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use common::{Harness, Seen, bound, limits, name, number, numbered, recv};
use fdwire_channel::Sent;
use fdwire_socket::{Address, Datagram};

/// Sends on `channel` to a receiver that reads at a varying pace, so that some messages are queued
/// and others are sent at once.
fn in_order(mut harness: Harness, channel: usize, receiver: &Datagram, to: Option<&Address>) {
    const COUNT: usize = 5_000;
    let (mut sent, mut got, mut queued, mut direct, mut round) = (0, 0, 0, 0, 0_usize);
    let mut drains = 0;
    harness.run_until(|harness, seen| {
        drains += seen.iter().filter(|seen| matches!(seen, Seen::Drained { .. })).count();
        round += 1;
        for _ in 0..(round * 13) % 37 {
            if sent == COUNT {
                break;
            }
            let size = [0, 10, 300, 5_000, 70_000][sent * 7 % 97 % 5];
            match harness.send(channel, &numbered(sent, size), to) {
                Sent::Now => direct += 1,
                Sent::Queued(_) => queued += 1,
            }
            sent += 1;
        }
        // The receiver reads nothing at some times, and everything at others.
        let pace = if round.is_multiple_of(50) { usize::MAX } else { round * 5 % 23 };
        for _ in 0..pace {
            let Some((bytes, _)) = recv(receiver) else { break };
            assert_eq!(number(&bytes), got);
            got += 1;
        }
        got == COUNT && harness.queued(channel).0 == 0
    });
    assert!(direct > 0 && queued > 0 && drains > 0, "{direct} {queued} {drains}");
    assert_eq!(recv(receiver).map(|(bytes, _)| bytes), None, "a message arrived twice");
    assert_eq!(harness.counters(channel).sent, COUNT as u64);
    assert_eq!(harness.counters(channel).undelivered, 0);
}

#[test]
fn keeps_the_order_to_a_peer_that_was_connected_by_name() {
    let name = name();
    let receiver = bound(&name);
    let socket = Datagram::new().unwrap();
    socket.connect(&name).unwrap();
    let mut harness = Harness::new();
    let channel = harness.add(socket, limits());
    in_order(harness, channel, &receiver, None);
}

#[test]
fn keeps_the_order_to_the_other_end_of_a_pair() {
    let (socket, receiver) = Datagram::pair().unwrap();
    let mut harness = Harness::new();
    let channel = harness.add(socket, limits());
    in_order(harness, channel, &receiver, None);
}

#[test]
fn keeps_the_order_to_a_named_receiver() {
    let name = name();
    let receiver = bound(&name);
    let mut harness = Harness::new();
    let channel = harness.add(bound(&common::name()), limits());
    in_order(harness, channel, &receiver, Some(&name));
}

#[test]
fn keeps_the_order_to_a_client_that_is_connected_to_the_sender() {
    let name = name();
    let socket = bound(&name);
    let (receiver, client) = common::client_of(&name);
    let mut harness = Harness::new();
    let channel = harness.add(socket, limits());
    in_order(harness, channel, &receiver, Some(&client));
}

#[test]
fn keeps_the_order_to_the_sender_itself() {
    let name = name();
    let mut harness = Harness::new();
    let channel = harness.add(bound(&name), limits());
    harness.reactor.set_reading(channel, true);
    for message in 0..2_000 {
        harness.send(channel, &numbered(message, 1_000), Some(&name));
    }
    let mut got = 0;
    harness.run_until(|_, seen| {
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
fn a_long_queue_to_a_fast_receiver_does_not_delay_other_channels() {
    let (busy, receiver) = Datagram::pair().unwrap();
    let (quiet, other) = Datagram::pair().unwrap();
    let mut harness = Harness::new();
    let busy = harness.add(busy, limits());
    let quiet = harness.add(quiet, limits());
    harness.reactor.set_reading(quiet, true);
    for message in 0..50_000 {
        harness.send(busy, &numbered(message, 10), None);
    }
    // A thread reads so fast that the whole queue could be sent in one turn.
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let (mut got, end) = (0, Instant::now() + common::TIMEOUT);
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
        let (mut queued_before, mut sent_meanwhile) = (None, 0);
        harness.run_until(|harness, seen| {
            if seen.iter().any(|seen| matches!(seen, Seen::Message { .. })) {
                queued_before = None;
            }
            let before = *queued_before.get_or_insert_with(|| {
                other.send(b"1", &[], None).unwrap();
                harness.queued(busy).0
            });
            // Until the other channel answers, the long queue may send one burst, or two if the
            // question was sent in the middle of a turn.
            sent_meanwhile = sent_meanwhile.max(before - harness.queued(busy).0);
            harness.queued(busy).0 == 0
        });
        assert!(sent_meanwhile <= 3 * 128, "{sent_meanwhile} messages before the answer");
    });
}

#[test]
fn drained_is_reported_once_when_the_queue_is_empty() {
    let (socket, receiver) = Datagram::pair().unwrap();
    let mut harness = Harness::new();
    let channel = harness.add(socket, limits());
    harness.reactor.set_reports_progress(channel, true);
    let mut last = Sent::Now;
    for message in 0..1_000 {
        last = harness.send(channel, &numbered(message, 500), None);
    }
    let Sent::Queued(last) = last else { panic!("nothing was queued") };
    let (oldest, next) = harness.reactor.channel(channel).unwrap().seqs();
    assert!(oldest.is_some());
    assert_eq!(next, last + 1);
    let (mut drained, mut progress) = (0, 0);
    harness.run_until(|harness, seen| {
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
        harness.queued(channel).0 == 0
    });
    assert_eq!((drained, harness.reactor.channel(channel).unwrap().seqs()), (1, (None, last + 1)));
    assert!(progress >= 1);
    assert!(harness.wakeups_in(Duration::from_millis(50)) <= 1, "no further wakeups");
}
