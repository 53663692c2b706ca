//! Every limit is kept, and what is not wanted is left alone.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::os::fd::AsFd;
use std::time::Duration;

use common::{Seen, World, bound, limits, name, number, numbered, recv};
use fdwire_channel::{Limits, SendError, Sent};
use fdwire_socket::{Datagram, Errno};

#[test]
fn a_queue_takes_no_more_than_its_bytes() {
    let (full, free) = (name(), name());
    let (receiver, _other) = (bound(&full), bound(&free));
    let mut world = World::new();
    let limits = Limits { max_queued: 1_000, ..limits() };
    let channel = world.add(bound(&name()), limits);
    while world.send(channel, b"first", Some(&full)) == Sent::Now {}
    assert_eq!(world.queued(channel), (1, 5, 0));
    world.send(channel, &[b'x'; 995], Some(&full));
    let counters = world.counters(channel);
    let refused = world.try_send(channel, b"x", &[], Some(&full));
    assert_eq!(refused, Err(SendError::QueueFull));
    assert_eq!(world.counters(channel).sent, counters.sent, "what is refused is not counted");
    assert_eq!(world.queued(channel), (2, 1_000, 0));
    // The limit is each destination's own.
    assert_eq!(world.send(channel, b"x", Some(&free)), Sent::Now);
    while recv(&receiver).is_some() {}
    world.work_until(|world, _| {
        while recv(&receiver).is_some() {}
        world.queued(channel).0 == 0
    });
    // One that is larger than the limit alone is taken into an empty queue.
    while world.send(channel, &[b'y'; 2_000], Some(&full)) == Sent::Now {}
    assert_eq!(world.queued(channel), (1, 2_000, 0));
}

#[test]
fn a_queue_takes_no_more_than_its_descriptors() {
    let (socket, _receiver) = Datagram::pair().unwrap();
    let (one, _two) = Datagram::pair().unwrap();
    let mut world = World::new();
    let limits = Limits { max_queued_fds: 3, ..limits() };
    let channel = world.add(socket, limits);
    while world.send(channel, b"x", None) == Sent::Now {}
    let fd = one.as_fd();
    assert!(world.try_send(channel, b"x", &[fd, fd], None).is_ok());
    assert_eq!(world.try_send(channel, b"x", &[fd, fd], None), Err(SendError::QueueFull));
    assert!(world.try_send(channel, b"x", &[fd], None).is_ok());
    assert_eq!(world.queued(channel).2, 3);
}

#[test]
fn a_message_is_as_large_as_the_socket_alone_would_take() {
    let name = name();
    let receiver = bound(&name);
    let socket = bound(&common::name());
    let largest = socket.send_buffer().unwrap() - 32;
    let mut world = World::new();
    let channel = world.add(socket, limits());
    let too_large = world.try_send(channel, &vec![b'x'; largest + 1], &[], Some(&name));
    assert_eq!(too_large, Err(SendError::Refused(Errno::MSGSIZE)));
    assert_eq!(world.send(channel, &vec![b'x'; largest], Some(&name)), Sent::Now);
    assert_eq!(recv(&receiver).map(|(bytes, _)| bytes.len()), Some(largest));
}

#[test]
fn reading_stops_at_the_limit_of_open_descriptors() {
    let (socket, sender) = Datagram::pair().unwrap();
    let mut world = World::new();
    let channel = world.add(socket, Limits { max_open_fds: 4, ..limits() });
    world.reactor.set_reading(channel, true).unwrap();
    let fd = sender.as_fd();
    for message in 0..20 {
        sender.send(&numbered(message, 3), &[fd, fd], None).unwrap();
    }
    let (mut got, mut told, mut held) = (0, 0, Vec::new());
    while got < 20 {
        world.work_until(|_, seen| {
            for seen in seen {
                match seen {
                    Seen::Message { bytes, fds, .. } => {
                        assert_eq!((number(&bytes), fds.len()), (got, 2));
                        held.extend(fds);
                        got += 1;
                    }
                    Seen::FdsHeld => told += 1,
                    other => panic!("{other:?}"),
                }
            }
            held.len() >= 4
        });
        assert_eq!((held.len(), world.reactor.channel(channel).unwrap().open_fds()), (4, 4));
        // At most once it looks in vain, and then no more.
        assert!(world.wakeups_in(Duration::from_millis(20)) <= 1);
        assert_eq!(world.wakeups_in(Duration::from_millis(20)), 0);
        held.clear();
        world.reactor.released(channel, 4).unwrap();
    }
    assert!(told > 0);
}

#[test]
fn what_nobody_wants_stays_in_the_kernel_and_costs_nothing() {
    let (socket, sender) = Datagram::pair().unwrap();
    let mut world = World::new();
    let channel = world.add(socket, limits());
    sender.send(b"0 ", &[], None).unwrap();
    assert_eq!(world.wakeups_in(Duration::from_millis(20)), 0, "never wanted");
    let mut next = 0;
    for _ in 0..3 {
        world.reactor.set_reading(channel, true).unwrap();
        world.work_until(|_, seen| {
            seen.iter().any(|seen| match seen {
                Seen::Message { bytes, .. } => {
                    assert_eq!(number(bytes), next);
                    true
                }
                other => panic!("{other:?}"),
            })
        });
        world.reactor.set_reading(channel, false).unwrap();
        next += 1;
        sender.send(&numbered(next, 2), &[], None).unwrap();
        assert!(world.wakeups_in(Duration::from_millis(20)) <= 1, "one to find out");
        assert_eq!(world.wakeups_in(Duration::from_millis(20)), 0, "then none");
    }
}

#[test]
fn a_channel_that_is_taken_out_leaves_nothing_behind() {
    let mut world = World::new();
    for _ in 0..3 {
        let server = name();
        let socket = bound(&server);
        let (_client, client) = common::client_of(&server);
        let named = name();
        let receiver = bound(&named);
        let channel = world.add(socket, limits());
        world.reactor.set_reading(channel, true).unwrap();
        while world.send(channel, b"x", Some(&client)) == Sent::Now {}
        while world.send(channel, b"x", Some(&named)) == Sent::Now {}
        world.work(Duration::ZERO);
        drop(world.reactor.remove(channel).unwrap());
        while recv(&receiver).is_some() {}
        assert_eq!(world.wakeups_in(Duration::from_millis(150)), 0);
        // Its index is the next one's, who hears nothing of it.
        let (socket, sender) = Datagram::pair().unwrap();
        let next = world.add(socket, limits());
        assert_eq!(next, channel);
        world.reactor.set_reading(next, true).unwrap();
        sender.send(b"1 ", &[], None).unwrap();
        world.work_until(|_, seen| {
            assert!(seen.iter().all(|seen| matches!(seen, Seen::Message { .. })), "{seen:?}");
            !seen.is_empty()
        });
        drop(world.reactor.remove(next));
    }
}

#[test]
fn a_last_attempt_sends_what_can_be_sent() {
    let (socket, receiver) = Datagram::pair().unwrap();
    let mut world = World::new();
    let channel = world.add(socket, limits());
    for message in 0..1_000 {
        world.send(channel, &numbered(message, 64), None);
    }
    let (mut got, queued) = (0, world.queued(channel).0);
    assert!(queued > 0);
    while recv(&receiver).is_some() {
        got += 1;
    }
    world.reactor.try_all();
    while recv(&receiver).is_some() {
        got += 1;
    }
    assert_eq!(got + world.queued(channel).0, 1_000);
    assert!(world.queued(channel).0 < queued);
}
