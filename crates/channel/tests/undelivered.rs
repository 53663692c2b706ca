//! Each message that cannot be delivered is reported once, without busy waiting.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use common::{Harness, Seen, bound, client_of, limits, name, number, numbered, recv};
use fdwire_channel::{Limits, SendError, Sent, UndeliveredReason};
use fdwire_socket::{Address, Datagram, Errno};

fn impatient() -> Limits {
    Limits { send_timeout: Some(Duration::from_millis(100)), ..limits() }
}

/// Runs until the queues are empty, and returns the undelivered messages. Checks that `Drained` is
/// reported once, after them.
fn undelivered(harness: &mut Harness, channel: usize) -> Vec<(UndeliveredReason, u64)> {
    let before = harness.counters(channel).undelivered;
    let (mut all, mut drained) = (Vec::new(), 0);
    harness.run_until(|harness, seen| {
        for seen in seen {
            match seen {
                Seen::Undelivered { reason, seq, .. } => {
                    assert_eq!(drained, 0, "Drained came before the last message");
                    all.push((reason, seq));
                }
                Seen::Drained { .. } => drained += 1,
                other => panic!("{other:?}"),
            }
        }
        harness.queued(channel).0 == 0
    });
    assert_eq!(drained, 1);
    assert_eq!(harness.counters(channel).undelivered - before, all.len() as u64);
    // A timer that is set and a registered write-space edge cause one more wakeup each.
    assert!(harness.wakeups_in(Duration::from_millis(150)) <= 2, "no further wakeups");
    all
}

fn fill(harness: &mut Harness, channel: usize, to: Option<&Address>, queued: usize) -> Vec<u64> {
    let mut seqs = Vec::new();
    for message in 0.. {
        if let Sent::Queued(seq) = harness.send(channel, &numbered(message, 64), to) {
            seqs.push(seq);
            if seqs.len() == queued {
                break;
            }
        }
    }
    seqs
}

fn expiry(socket: Datagram, to: Option<&Address>) {
    let mut harness = Harness::new();
    let channel = harness.add(socket, impatient());
    let mut filling = Duration::ZERO;
    for _ in 0..2 {
        let begin = Instant::now();
        let seqs = fill(&mut harness, channel, to, 1_000);
        filling += begin.elapsed();
        let all = undelivered(&mut harness, channel);
        let took = begin.elapsed();
        assert!(took >= Duration::from_millis(100), "{took:?}");
        // A few may have been sent as probes.
        assert!(
            all.len() > 900 && all.iter().all(|(reason, _)| *reason == UndeliveredReason::Expired),
            "{all:?}"
        );
        assert!(all.is_sorted_by(|(_, one), (_, next)| one < next));
        assert_eq!(all.last().map(|(_, seq)| seq), seqs.last());
    }
    // There are wakeups for expiries and for retries, and no timer is left over. Messages that were
    // queued within a millisecond expire together, so slower queueing causes more wakeups.
    let most = 100 + 2 * filling.as_millis();
    assert!((harness.wakeups as u128) < most, "{} in {filling:?}", harness.wakeups);
}

#[test]
fn messages_to_a_full_named_receiver_expire() {
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

#[test]
fn messages_that_expire_before_others_of_their_queue_cause_few_wakeups() {
    let server = name();
    let socket = bound(&server);
    let (_client, to) = client_of(&server);
    let mut harness = Harness::new();
    let channel = harness.add(socket, impatient());
    fill(&mut harness, channel, Some(&to), 10);
    // The pauses between the attempts to send have become longer when these ten expire.
    harness.wakeups_in(Duration::from_millis(60));
    for message in 0..10 {
        harness.send(channel, &numbered(message, 64), Some(&to));
    }
    harness.wakeups_in(Duration::from_millis(150));
    assert_eq!(harness.queued(channel), (0, 0, 0));
    assert!(harness.wakeups < 40, "{}", harness.wakeups);
}

fn closing(socket: Datagram, receiver: Datagram, to: Option<&Address>) {
    let mut harness = Harness::new();
    let channel = harness.add(socket, limits());
    let seqs = fill(&mut harness, channel, to, 1_000);
    drop(receiver);
    let all = undelivered(&mut harness, channel);
    let refused: Vec<_> =
        seqs.iter().map(|&seq| (UndeliveredReason::Refused(Errno::CONNREFUSED), seq)).collect();
    assert_eq!(all, refused);
    assert!(harness.wakeups < 30, "{}", harness.wakeups);
    for _ in 0..3 {
        let again = harness.try_send(channel, b"1", &[], to);
        assert_eq!(again, Err(SendError::Refused(Errno::CONNREFUSED)), "the error is permanent");
    }
    assert_eq!(harness.queued(channel), (0, 0, 0));
}

#[test]
fn messages_to_a_named_receiver_that_closes_are_refused() {
    let name = name();
    closing(bound(&common::name()), bound(&name), Some(&name));
}

#[test]
fn messages_to_a_peer_that_closes_are_refused() {
    let name = name();
    let receiver = bound(&name);
    let socket = Datagram::new().unwrap();
    socket.connect(&name).unwrap();
    closing(socket, receiver, None);
    let (socket, receiver) = Datagram::pair().unwrap();
    closing(socket, receiver, None);
}

#[test]
fn messages_to_a_client_that_closes_are_refused() {
    let name = name();
    let socket = bound(&name);
    let (client, to) = client_of(&name);
    closing(socket, client, Some(&to));
}

#[test]
fn queued_messages_go_to_the_next_socket_with_the_name() {
    let name = name();
    let first = bound(&name);
    let mut harness = Harness::new();
    let channel = harness.add(bound(&common::name()), limits());
    let queued = fill(&mut harness, channel, Some(&name), 1_000).len();
    let sent = usize::try_from(harness.counters(channel).sent).unwrap();
    // The name changes hands before the sender retries. The second socket is full at once, and not
    // read.
    drop(first);
    let second = bound(&name);
    harness.wakeups_in(Duration::from_millis(100));
    assert!(harness.wakeups < 20, "{} wake-ups while it is full", harness.wakeups);
    let mut next = sent - queued;
    harness.run_until(|harness, seen| {
        assert!(seen.iter().all(|seen| !matches!(seen, Seen::Undelivered { .. })), "{seen:?}");
        while let Some((bytes, _)) = recv(&second) {
            assert_eq!(
                number(&bytes),
                next,
                "order, from the first message that the first socket did not get"
            );
            next += 1;
        }
        next == sent && harness.queued(channel).0 == 0
    });
}

#[test]
fn messages_to_a_receiver_that_connects_elsewhere_are_refused_with_eperm() {
    let (name, other) = (name(), name());
    let receiver = bound(&name);
    let _other = bound(&other);
    let mut harness = Harness::new();
    let channel = harness.add(bound(&common::name()), limits());
    let seqs = fill(&mut harness, channel, Some(&name), 10);
    receiver.connect(&other).unwrap();
    // The kernel may drop queued datagrams when a socket connects. The others are read, so there is
    // room.
    while recv(&receiver).is_some() {}
    let all = undelivered(&mut harness, channel);
    let refused: Vec<_> =
        seqs.iter().map(|&seq| (UndeliveredReason::Refused(Errno::PERM), seq)).collect();
    assert_eq!(all, refused);
}

#[test]
fn stuck_queues_cause_few_wakeups() {
    // One queue for each thing to wait for, all stuck.
    let server = name();
    let socket = bound(&server);
    let (_client, client) = client_of(&server);
    let (_large, large) = client_of(&server);
    let named = name();
    let _named = bound(&named);
    let (pair, _end) = Datagram::pair().unwrap();
    let mut harness = Harness::new();
    let channel = harness.add(socket, limits());
    let pair = harness.add(pair, limits());
    fill(&mut harness, channel, Some(&client), 100);
    fill(&mut harness, channel, Some(&named), 100);
    fill(&mut harness, pair, None, 100);
    for _ in 0..10 {
        harness.send(channel, &numbered(0, 200_000), Some(&large));
        harness.send(channel, &numbered(0, 10_000), Some(&large));
    }
    harness.wakeups_in(Duration::from_millis(300));
    let wakeups = harness.wakeups_in(Duration::from_millis(500));
    assert!(wakeups < 25, "{wakeups} in half a second");
}

#[test]
fn a_message_that_is_not_queued_reports_the_messages_that_were_evicted_for_it() {
    let server = bound(&name());
    let to = name();
    let _receiver = bound(&to);
    let mut harness = Harness::new();
    let limits = Limits { max_queued_total: 4_000, send_timeout: None, ..limits() };
    let channel = harness.add(server, limits);
    let mut queued = BTreeSet::new();
    while queued.len() < 20 {
        if let Sent::Queued(seq) = harness.send(channel, b"0 ", Some(&to)) {
            queued.insert(seq);
        }
    }
    harness.turns();
    let sent = harness.try_send(channel, &[b'x'; 3_900], &[], Some(&to));
    assert_eq!(sent, Err(SendError::QueueFull));
    let left = harness.queued(channel).0;
    assert!(left < 20, "{left}");
    let mut evicted = 0;
    harness.run_until(|_, seen| {
        evicted += seen.iter().filter(|seen| matches!(seen, Seen::Undelivered { .. })).count();
        evicted == 20 - left
    });
}

#[test]
fn a_seqpacket_socket_is_half_closed_when_its_last_message_expires() {
    let (socket, peer) = Datagram::seqpacket_pair().unwrap();
    let mut harness = Harness::new();
    let limits = Limits { send_timeout: Some(Duration::from_millis(20)), ..limits() };
    let channel = harness.add(socket, limits);
    while harness.send(channel, &numbered(0, 64), None) == Sent::Now {}
    harness.reactor.finish(channel);
    harness.run_until(|harness, _| harness.queued(channel).0 == 0);
    while let Some((bytes, _)) = recv(&peer) {
        if bytes.is_empty() {
            return;
        }
    }
    panic!("not half-closed");
}
