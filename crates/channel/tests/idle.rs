//! A channel without anything to do causes no wakeups.

mod common;

use std::os::fd::AsFd;
use std::time::Duration;

use common::{Harness, Seen, limits, recv};
use fdwire_channel::Sent;
use fdwire_socket::{Datagram, Errno, Stream};
use fdwire_wire::Protocol;
use rustix::net::{Shutdown, shutdown};

const A_WHILE: Duration = Duration::from_millis(100);

#[test]
fn a_drained_queue_causes_no_wakeups() {
    let (socket, peer) = Datagram::pair().unwrap();
    let mut harness = Harness::new();
    let channel = harness.add(socket, limits());
    harness.reactor.set_reading(channel, true);
    while harness.send(channel, b"full", None) == Sent::Now {}
    harness.run_until(|harness, _| {
        while recv(&peer).is_some() {}
        harness.queued(channel).0 == 0
    });
    while recv(&peer).is_some() {}
    assert!(harness.wakeups_in(A_WHILE) <= 2);
}

#[test]
fn a_socket_shut_down_by_another_process_fails_after_its_last_message() {
    let (socket, peer) = Datagram::pair().unwrap();
    let other = socket.as_fd().try_clone_to_owned().unwrap();
    let mut harness = Harness::new();
    let channel = harness.add(socket, limits());
    peer.send(b"last", &[], None).unwrap();
    shutdown(&other, Shutdown::Read).unwrap();
    harness.reactor.set_reading(channel, true);
    let mut all = Vec::new();
    harness.run_until(|_, seen| {
        all.extend(seen);
        all.len() == 2
    });
    assert!(matches!(&all[0], Seen::Message { bytes, .. } if bytes == b"last"), "{all:?}");
    assert!(matches!(all[1], Seen::Failed(Errno::SHUTDOWN, "recvmsg")), "{all:?}");
}

#[test]
fn the_readiness_of_a_removed_channel_does_not_reach_the_next_one_at_its_index() {
    let mut harness = Harness::new();
    let pairs = [Stream::pair().unwrap(), Stream::pair().unwrap()];
    let channels = pairs.map(|(socket, peer)| {
        let channel = harness.add_stream(socket, Protocol::Lines, limits());
        harness.reactor.set_reading(channel, true);
        // Each channel has its end to report.
        drop(peer);
        channel
    });
    harness.reactor.poll(Duration::ZERO).unwrap();
    let first = harness.turn().unwrap();
    let Seen::End { channel: ended } = first[0] else { panic!("{first:?}") };
    let other = channels.into_iter().find(|&channel| channel != ended).unwrap();
    drop(harness.reactor.remove(other));
    let (socket, _peer) = Datagram::pair().unwrap();
    let next = harness.add(socket, limits());
    assert_eq!(next, other);
    harness.reactor.set_reading(next, true);
    assert!(harness.turns().is_empty());
}
