//! Where there is nothing to do, nothing is woken.

mod common;

use std::os::fd::AsFd;
use std::time::Duration;

use common::{Seen, World, limits, recv};
use fdwire_channel::Sent;
use fdwire_socket::{Datagram, Errno, Stream};
use fdwire_wire::Protocol;
use rustix::net::{Shutdown, shutdown};

const A_WHILE: Duration = Duration::from_millis(100);

#[test]
fn a_reader_whose_queue_has_gone_out_is_not_woken_for_it() {
    let (socket, peer) = Datagram::pair().unwrap();
    let mut world = World::new();
    let channel = world.add(socket, limits());
    world.reactor.set_reading(channel, true).unwrap();
    while world.send(channel, b"full", None) == Sent::Now {}
    world.work_until(|world, _| {
        while recv(&peer).is_some() {}
        world.queued(channel).0 == 0
    });
    while recv(&peer).is_some() {}
    assert!(world.wakeups_in(A_WHILE) <= 2);
}

#[test]
fn a_socket_that_somebody_has_shut_down_fails_once_all_is_read() {
    let (socket, peer) = Datagram::pair().unwrap();
    let other = socket.as_fd().try_clone_to_owned().unwrap();
    let mut world = World::new();
    let channel = world.add(socket, limits());
    peer.send(b"last", &[], None).unwrap();
    shutdown(&other, Shutdown::Read).unwrap();
    world.reactor.set_reading(channel, true).unwrap();
    let mut all = Vec::new();
    world.work_until(|_, seen| {
        all.extend(seen);
        all.len() == 2
    });
    assert!(matches!(&all[0], Seen::Message { bytes, .. } if bytes == b"last"), "{all:?}");
    assert!(matches!(all[1], Seen::Failed(Errno::SHUTDOWN, "recvmsg")), "{all:?}");
}

#[test]
fn what_was_ready_for_a_channel_that_has_gone_is_not_the_next_ones() {
    let mut world = World::new();
    let pairs = [Stream::pair().unwrap(), Stream::pair().unwrap()];
    let channels = pairs.map(|(socket, peer)| {
        let channel = world.add_stream(socket, Protocol::Lines, limits());
        world.reactor.set_reading(channel, true).unwrap();
        // Its end is ready.
        drop(peer);
        channel
    });
    world.reactor.poll(Duration::ZERO).unwrap();
    let first = world.turn().unwrap();
    let Seen::End { channel: told } = first[0] else { panic!("{first:?}") };
    let other = channels.into_iter().find(|&channel| channel != told).unwrap();
    drop(world.reactor.remove(other));
    let (socket, _peer) = Datagram::pair().unwrap();
    let next = world.add(socket, limits());
    assert_eq!(next, other);
    world.reactor.set_reading(next, true).unwrap();
    assert!(world.turns().is_empty());
}
