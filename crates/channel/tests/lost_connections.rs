//! Connections that are lost and replaced: what is queued, and that waiting costs no processor time.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::os::fd::AsFd;
use std::time::Duration;

use common::{Harness, Seen, bound, limits, name, number, numbered, recv};
use fdwire_channel::{Limits, Sent, UndeliveredReason};
use fdwire_socket::{Address, Datagram, Stream};
use fdwire_wire::Protocol;

const MS: Duration = Duration::from_millis(1);

fn connected_to(server: &Address) -> Datagram {
    let socket = Datagram::new().unwrap();
    socket.connect(server).unwrap();
    socket
}

/// Adds a channel that is connected to `server`, and whose connection can be replaced.
fn client(harness: &mut Harness, server: &Address, limits: Limits) -> usize {
    let channel = harness.add(connected_to(server), limits);
    harness.reactor.keep_on_loss(channel);
    channel
}

#[test]
fn many_messages_that_expire_while_the_connection_is_lost_cause_few_wakeups() {
    let server = name();
    let receiver = bound(&server);
    let mut harness = Harness::new();
    let limits = Limits { send_timeout: Some(100 * MS), ..limits() };
    let channel = client(&mut harness, &server, limits);
    drop(receiver);
    assert_eq!(harness.reactor.disconnect(channel, true), []);
    // More than one turn drops.
    let mut first = 0;
    for message in 0..500 {
        let Sent::Queued(seq) = harness.send(channel, &numbered(message, 64), None) else {
            panic!()
        };
        first = seq;
    }
    harness.wakeups_in(60 * MS);
    for message in 0..10 {
        harness.send(channel, &numbered(message, 64), None);
    }
    let mut expired = 0;
    harness.run_until(|_, seen| {
        for seen in seen {
            let Seen::Undelivered { reason: UndeliveredReason::Expired, seq, .. } = seen else {
                panic!("{seen:?}");
            };
            expired = seq;
        }
        expired >= first
    });
    harness.wakeups = 0;
    harness.run_until(|harness, _| harness.queued(channel).0 == 0);
    assert!(harness.wakeups < 20, "{}", harness.wakeups);
}

#[test]
fn a_connection_that_is_lost_waits_for_no_write_space() {
    let (socket, _peer) = Datagram::seqpacket_pair().unwrap();
    let mut harness = Harness::new();
    let limits = Limits { memfd: true, max_queued: 1_000_000, ..limits() };
    let channel = harness.add_json(socket, limits);
    harness.reactor.keep_on_loss(channel);
    let text = format!("\"{}\"", "x".repeat(400_000));
    let mut sent = Sent::Now;
    while sent == Sent::Now {
        sent = harness.send(channel, text.as_bytes(), None);
    }
    harness.reactor.disconnect(channel, true);
    let (socket, peer) = Datagram::seqpacket_pair().unwrap();
    let next = harness.add_json(socket, common::limits());
    assert!(harness.reactor.reconnect(channel, next));
    harness.run_until(|harness, _| harness.queued(channel).0 == 0);
    harness.wakeups = 0;
    for _ in 0..100 {
        harness.send(channel, b"{}", None);
        while recv(&peer).is_some() {}
        harness.run(Duration::ZERO);
    }
    assert!(harness.wakeups < 10, "{}", harness.wakeups);
}

#[test]
fn what_is_ended_while_the_connection_is_lost_ends_the_next_one() {
    for queued in [0, 10] {
        let (socket, _peer) = Datagram::seqpacket_pair().unwrap();
        let mut harness = Harness::new();
        let channel = harness.add(socket, limits());
        harness.reactor.keep_on_loss(channel);
        harness.reactor.disconnect(channel, true);
        for message in 0..queued {
            harness.send(channel, &numbered(message, 64), None);
        }
        harness.reactor.finish(channel);
        let (socket, peer) = Datagram::seqpacket_pair().unwrap();
        let next = harness.add(socket, limits());
        assert!(harness.reactor.reconnect(channel, next));
        harness.run_until(|harness, _| harness.queued(channel).0 == 0);
        for message in 0..queued {
            assert_eq!(number(&recv(&peer).unwrap().0), message);
        }
        assert_eq!(recv(&peer).unwrap().0, [], "the end");
    }
}

#[test]
fn a_message_after_one_with_descriptors_is_kept_when_the_connection_is_lost() {
    let (socket, _peer) = Stream::pair().unwrap();
    let mut harness = Harness::new();
    let channel = harness.add_stream(socket, Protocol::LengthPrefixed, limits());
    harness.reactor.keep_on_loss(channel);
    let (one, _other) = Stream::pair().unwrap();
    harness.try_send(channel, b"with a descriptor", &[one.as_fd()], None).unwrap();
    assert_eq!(harness.queued(channel).1, 0);
    harness.try_send(channel, b"not sent", &[], None).unwrap();
    assert_ne!(harness.queued(channel).1, 0);
    assert_eq!(harness.reactor.disconnect(channel, true), []);
    assert_ne!(harness.queued(channel).1, 0);
}

#[test]
fn the_end_of_a_peer_that_has_not_read_everything_is_reported_without_read_interest() {
    let (socket, peer) = Datagram::seqpacket_pair().unwrap();
    let mut harness = Harness::new();
    let channel = harness.add(socket, limits());
    harness.send(channel, &numbered(0, 64), None);
    drop(peer);
    harness.run_until(|_, seen| seen.iter().any(|seen| matches!(seen, Seen::End { .. })));
}

#[test]
fn the_loss_of_a_connection_is_noticed_by_sending_although_nobody_reads() {
    for queued in [false, true] {
        let (socket, peer) = Datagram::seqpacket_pair().unwrap();
        let mut harness = Harness::new();
        let channel = harness.add(socket, limits());
        harness.reactor.keep_on_loss(channel);
        if queued {
            while harness.send(channel, &numbered(0, 64), None) == Sent::Now {}
        }
        peer.send(b"unread", &[], None).unwrap();
        drop(peer);
        if !queued {
            harness.turns();
            assert!(harness.try_send(channel, b"message", &[], None).is_err());
            // The owner holds the queue after this error.
            harness.reactor.hold(channel);
        }
        let mut messages = 0;
        harness.run_until(|_, seen| {
            messages += seen.iter().filter(|seen| matches!(seen, Seen::Message { .. })).count();
            seen.iter().any(|seen| matches!(seen, Seen::End { .. }))
        });
        assert_eq!(messages, 1);
        assert!(harness.wakeups_in(20 * MS) < 5);
    }
}
