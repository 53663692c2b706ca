//! Limits are enforced, and a channel reads only while its owner takes messages.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::os::fd::AsFd;
use std::time::Duration;

use common::{Harness, Seen, bound, limits, name, number, numbered, recv};
use fdwire_channel::{Limits, QUEUE_ENTRY, SendError, Sent, UndeliveredReason};
use fdwire_socket::{Datagram, Errno};

#[test]
fn a_queue_takes_at_most_max_queued_bytes() {
    let (full, free) = (name(), name());
    let (receiver, _other) = (bound(&full), bound(&free));
    let mut harness = Harness::new();
    // Two messages of 1,000 bytes in all, with their entries.
    let limits = Limits { max_queued: 1_000 + 2 * QUEUE_ENTRY, ..limits() };
    let channel = harness.add(bound(&name()), limits);
    while harness.send(channel, b"first", Some(&full)) == Sent::Now {}
    assert_eq!(harness.queued(channel), (1, 5, 0));
    harness.send(channel, &[b'x'; 995], Some(&full));
    let counters = harness.counters(channel);
    let refused = harness.try_send(channel, b"x", &[], Some(&full));
    assert_eq!(refused, Err(SendError::QueueFull));
    assert_eq!(harness.counters(channel).sent, counters.sent, "refused messages are not counted");
    assert_eq!(harness.queued(channel), (2, 1_000, 0));
    // Each destination has the limit for itself.
    assert_eq!(harness.send(channel, b"x", Some(&free)), Sent::Now);
    while recv(&receiver).is_some() {}
    harness.run_until(|harness, _| {
        while recv(&receiver).is_some() {}
        harness.queued(channel).0 == 0
    });
    // An empty queue takes a message that is larger than the limit.
    while harness.send(channel, &[b'y'; 2_000], Some(&full)) == Sent::Now {}
    assert_eq!(harness.queued(channel), (1, 2_000, 0));
}

#[test]
fn empty_messages_count_the_memory_of_their_entries() {
    let to = name();
    let _receiver = bound(&to);
    let mut harness = Harness::new();
    let channel = harness.add(bound(&name()), Limits { max_queued: 100 * QUEUE_ENTRY, ..limits() });
    while harness.send(channel, b"", Some(&to)) == Sent::Now {}
    while harness.try_send(channel, b"", &[], Some(&to)).is_ok() {}
    assert_eq!(harness.queued(channel), (100, 0, 0));
}

/// Fills the kernel's queue of `to`, so that the next message is queued.
fn fill(harness: &mut Harness, channel: usize, to: &fdwire_socket::Address) {
    while harness.queued(channel).0 == 0 {
        harness.send(channel, b"f", Some(to));
    }
}

#[test]
fn at_the_limit_of_all_queues_the_longest_one_loses_its_oldest_messages() {
    let names = [name(), name(), name()];
    let receivers = names.each_ref().map(bound);
    let mut harness = Harness::new();
    let total = 10_000;
    let channel = harness.add(bound(&name()), Limits { max_queued_total: total, ..limits() });
    let [long, short, new] = &names;
    fill(&mut harness, channel, long);
    let first = harness.send(channel, &[b'l'; 5_000], Some(long));
    harness.send(channel, &[b'l'; 3_000], Some(long));
    while harness.send(channel, b"s", Some(short)) == Sent::Now {}
    let (messages, bytes, _) = harness.queued(channel);
    assert_eq!((messages, bytes), (4, 8_002));
    // The queue to `new` is empty: it takes the message, and the longest one loses two.
    while harness.send(channel, &[b'n'; 4_000], Some(new)) == Sent::Now {}
    assert_eq!(harness.queued(channel).1, 3_000 + 1 + 4_000);
    let mut undelivered = Vec::new();
    harness.run_until(|_, seen| {
        for seen in seen {
            match seen {
                Seen::Undelivered { reason, seq, to, .. } => {
                    assert_eq!((reason, to.as_ref()), (UndeliveredReason::Evicted, Some(long)));
                    undelivered.push(seq);
                }
                Seen::Drained { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        undelivered.len() == 2
    });
    assert_eq!(Sent::Queued(undelivered[1]), first, "oldest first");
    assert_eq!(harness.counters(channel).undelivered, 2);
    // The rest arrives in order.
    let mut got = vec![Vec::new(); 3];
    harness.run_until(|harness, _| {
        for (got, receiver) in got.iter_mut().zip(&receivers) {
            got.extend(std::iter::from_fn(|| recv(receiver)).map(|(bytes, _)| bytes.len()));
        }
        harness.queued(channel).0 == 0 && got[2].contains(&4_000)
    });
    assert_eq!(got[0].last(), Some(&3_000));
    assert!(!got[0].contains(&5_000));
}

#[test]
fn an_empty_queue_always_takes_one_message_of_64_kib() {
    let names: Vec<_> = (0..50).map(|_| name()).collect();
    let _receivers: Vec<_> = names.iter().map(bound).collect();
    let mut harness = Harness::new();
    let channel = harness.add(bound(&name()), Limits { max_queued_total: 1_000, ..limits() });
    for to in &names {
        while harness.try_send(channel, &[b'x'; 64 * 1024], &[], Some(to)).unwrap() == Sent::Now {}
    }
}

#[test]
fn reports_of_evicted_messages_are_limited_until_the_caller_takes_them() {
    let to = name();
    let _receiver = bound(&to);
    let mut harness = Harness::new();
    let limits = Limits { max_queued_total: 100_000, ..limits() };
    let channel = harness.add(bound(&name()), limits);
    fill(&mut harness, channel, &to);
    let mut sent = 0;
    while harness.try_send(channel, b"x", &[], Some(&to)).is_ok() {
        sent += 1;
        assert!(sent < 10_000, "the reports grow for ever");
    }
    let mut reported = 0;
    harness.run_until(|_, seen| {
        reported += seen.iter().filter(|seen| matches!(seen, Seen::Undelivered { .. })).count();
        reported > 0
    });
    assert_eq!(harness.queued(channel).0 + reported, sent + 1);
    assert!(harness.try_send(channel, b"x", &[], Some(&to)).is_ok());
}

#[test]
fn a_queue_takes_at_most_max_queued_fds_descriptors() {
    let (socket, _receiver) = Datagram::pair().unwrap();
    let (one, _two) = Datagram::pair().unwrap();
    let mut harness = Harness::new();
    let limits = Limits { max_queued_fds: 3, ..limits() };
    let channel = harness.add(socket, limits);
    while harness.send(channel, b"x", None) == Sent::Now {}
    let fd = one.as_fd();
    assert!(harness.try_send(channel, b"x", &[fd, fd], None).is_ok());
    assert_eq!(harness.try_send(channel, b"x", &[fd, fd], None), Err(SendError::QueueFull));
    assert!(harness.try_send(channel, b"x", &[fd], None).is_ok());
    assert_eq!(harness.queued(channel).2, 3);
}

#[test]
fn the_largest_message_is_that_of_the_original_send_buffer() {
    let name = name();
    let receiver = bound(&name);
    let socket = bound(&common::name());
    let largest = socket.send_buffer().unwrap() - 32;
    let mut harness = Harness::new();
    let channel = harness.add(socket, limits());
    let too_large = harness.try_send(channel, &vec![b'x'; largest + 1], &[], Some(&name));
    assert_eq!(too_large, Err(SendError::Refused(Errno::MSGSIZE)));
    assert_eq!(harness.send(channel, &vec![b'x'; largest], Some(&name)), Sent::Now);
    assert_eq!(recv(&receiver).map(|(bytes, _)| bytes.len()), Some(largest));
}

#[test]
fn a_message_that_is_too_large_is_refused_at_once_even_behind_others() {
    let (socket, _receiver) = Datagram::pair().unwrap();
    socket.set_send_buffer(16 * 1024).unwrap();
    let largest = socket.max_message().unwrap();
    let mut harness = Harness::new();
    let channel = harness.add(socket, limits());
    while harness.send(channel, b"x", None) == Sent::Now {}
    let too_large = harness.try_send(channel, &vec![b'x'; largest + 1], &[], None);
    assert_eq!(too_large, Err(SendError::Refused(Errno::MSGSIZE)));
    assert!(harness.try_send(channel, &vec![b'x'; largest], &[], None).is_ok());
}

#[test]
fn reading_stops_at_the_limit_of_open_descriptors() {
    let (socket, sender) = Datagram::pair().unwrap();
    let mut harness = Harness::new();
    let channel = harness.add(socket, Limits { max_open_fds: 4, ..limits() });
    harness.reactor.set_reading(channel, true);
    let fd = sender.as_fd();
    for message in 0..20 {
        sender.send(&numbered(message, 3), &[fd, fd], None).unwrap();
    }
    let (mut got, mut reported, mut held) = (0, 0, Vec::new());
    while got < 20 {
        harness.run_until(|_, seen| {
            for seen in seen {
                match seen {
                    Seen::Message { bytes, fds, .. } => {
                        assert_eq!((number(&bytes), fds.len()), (got, 2));
                        held.extend(fds);
                        got += 1;
                    }
                    Seen::FdsHeld => reported += 1,
                    other => panic!("{other:?}"),
                }
            }
            held.len() >= 4
        });
        assert_eq!((held.len(), harness.reactor.channel(channel).unwrap().open_fds()), (4, 4));
        // One wakeup may find out that reading has stopped.
        assert!(harness.wakeups_in(Duration::from_millis(20)) <= 1);
        assert_eq!(harness.wakeups_in(Duration::from_millis(20)), 0);
        held.clear();
        harness.reactor.released(channel, 4);
    }
    assert!(reported > 0);
}

#[test]
fn unread_messages_stay_in_the_kernel_and_cause_no_wakeups() {
    let (socket, sender) = Datagram::pair().unwrap();
    let mut harness = Harness::new();
    let channel = harness.add(socket, limits());
    sender.send(b"0 ", &[], None).unwrap();
    assert_eq!(harness.wakeups_in(Duration::from_millis(20)), 0, "no read interest yet");
    let mut next = 0;
    for _ in 0..3 {
        harness.reactor.set_reading(channel, true);
        harness.run_until(|_, seen| {
            seen.iter().any(|seen| match seen {
                Seen::Message { bytes, .. } => {
                    assert_eq!(number(bytes), next);
                    true
                }
                other => panic!("{other:?}"),
            })
        });
        harness.reactor.set_reading(channel, false);
        next += 1;
        sender.send(&numbered(next, 2), &[], None).unwrap();
        assert!(
            harness.wakeups_in(Duration::from_millis(20)) <= 1,
            "one wakeup removes the read interest"
        );
        assert_eq!(harness.wakeups_in(Duration::from_millis(20)), 0, "then there are no wakeups");
    }
}

#[test]
fn a_removed_channel_leaves_nothing_registered() {
    let mut harness = Harness::new();
    for _ in 0..3 {
        let server = name();
        let socket = bound(&server);
        let (_client, client) = common::client_of(&server);
        let named = name();
        let receiver = bound(&named);
        let channel = harness.add(socket, limits());
        harness.reactor.set_reading(channel, true);
        while harness.send(channel, b"x", Some(&client)) == Sent::Now {}
        while harness.send(channel, b"x", Some(&named)) == Sent::Now {}
        harness.run(Duration::ZERO);
        drop(harness.reactor.remove(channel).unwrap());
        while recv(&receiver).is_some() {}
        assert_eq!(harness.wakeups_in(Duration::from_millis(150)), 0);
        // The next channel has the same index, and gets none of its events.
        let (socket, sender) = Datagram::pair().unwrap();
        let next = harness.add(socket, limits());
        assert_eq!(next, channel);
        harness.reactor.set_reading(next, true);
        sender.send(b"1 ", &[], None).unwrap();
        harness.run_until(|_, seen| {
            assert!(seen.iter().all(|seen| matches!(seen, Seen::Message { .. })), "{seen:?}");
            !seen.is_empty()
        });
        drop(harness.reactor.remove(next));
    }
}

#[test]
fn try_all_sends_what_the_kernel_takes() {
    let (socket, receiver) = Datagram::pair().unwrap();
    let mut harness = Harness::new();
    let channel = harness.add(socket, limits());
    for message in 0..1_000 {
        harness.send(channel, &numbered(message, 64), None);
    }
    let (mut got, queued) = (0, harness.queued(channel).0);
    assert!(queued > 0);
    while recv(&receiver).is_some() {
        got += 1;
    }
    harness.reactor.try_all();
    while recv(&receiver).is_some() {
        got += 1;
    }
    assert_eq!(got + harness.queued(channel).0, 1_000);
    assert!(harness.queued(channel).0 < queued);
}
