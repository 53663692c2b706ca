//! Queued descriptors are duplicates, which are closed when their message is sent or dropped.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use common::{
    Harness, Seen, bound, first_open_fds, limits, name, open_fds, recv, wait_for_open_fds,
};
use fdwire_channel::{Limits, Refusal, SendError, Sent};
use fdwire_socket::{Address, Errno};
use rustix::event::EventfdFlags;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

fn numbers() -> BTreeSet<u64> {
    let entries = fs::read_dir("/proc/self/fd").unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect()
}

/// Queues 20 messages with two descriptors each for a receiver whose queue is full.
fn queue(harness: &mut Harness, channel: usize, to: &Address, fd: BorrowedFd<'_>) {
    while harness.send(channel, b"full", Some(to)) == Sent::Now {}
    for _ in 0..20 {
        assert!(harness.try_send(channel, b"fds", &[fd, fd], Some(to)).is_ok());
    }
}

/// Runs `work` while exactly `more` descriptors can be opened.
fn with_few<T>(more: usize, work: impl FnOnce() -> T) -> T {
    let before = getrlimit(Resource::Nofile);
    let current = numbers().last().map(|highest| highest + 1 + more as u64);
    setrlimit(Resource::Nofile, Rlimit { current, ..before }).unwrap();
    // The open numbers have gaps.
    let mut fill = Vec::new();
    while let Ok(fd) = rustix::event::eventfd(0, EventfdFlags::CLOEXEC) {
        fill.push(fd);
    }
    fill.truncate(fill.len() - more);
    let result = work();
    drop(fill);
    setrlimit(Resource::Nofile, before).unwrap();
    result
}

// Each part counts the descriptors of the process, so they are one test.
#[test]
fn leaves_no_descriptor_open() {
    let before = first_open_fds();
    // Unlike a socket, this is closed at once, not in a thread.
    let file = fs::File::open("/dev/null").unwrap();
    let fd = file.as_fd();
    let name = name();
    let receiver = bound(&name);
    let mut harness = Harness::new();
    let channel = harness.add(
        bound(&common::name()),
        Limits { send_timeout: Some(Duration::from_millis(50)), ..limits() },
    );
    let quiet = open_fds();
    let inherited = numbers();

    // Duplicates are close-on-exec, and are closed when they are sent. One more descriptor waits
    // for the receiver.
    queue(&mut harness, channel, &name, fd);
    assert_eq!((open_fds() - quiet, harness.queued(channel).2), (20 * 2 + 1, 40));
    for number in numbers().difference(&inherited) {
        // The descriptor of the directory listing is closed by now.
        let Ok(info) = fs::read_to_string(format!("/proc/self/fdinfo/{number}")) else { continue };
        assert!(info.contains("flags:\t02"), "close-on-exec: {info}");
    }
    let mut with_fds = 0;
    harness.run_until(|harness, _| {
        while let Some((bytes, fds)) = recv(&receiver) {
            if bytes == b"fds" {
                assert_eq!(fds.len(), 2);
                with_fds += 1;
            }
        }
        harness.queued(channel).0 == 0
    });
    while recv(&receiver).is_some_and(|(bytes, _)| bytes == b"fds") {
        with_fds += 1;
    }
    assert_eq!((with_fds, open_fds()), (20, quiet));

    // Messages expire.
    queue(&mut harness, channel, &name, fd);
    harness.run_until(|harness, _| harness.queued(channel).0 == 0);
    assert_eq!(open_fds(), quiet);
    while recv(&receiver).is_some() {}

    // The kernel refuses messages, because the receiver has closed.
    let next = common::name();
    let closing = bound(&next);
    queue(&mut harness, channel, &next, fd);
    drop(closing);
    harness.run_until(|harness, _| harness.queued(channel).0 == 0);
    assert_eq!(open_fds(), quiet);

    // No descriptor is left for a duplicate: the message is refused, and nothing of it is queued.
    while harness.send(channel, b"full", Some(&name)) == Sent::Now {}
    let refused = with_few(3, || {
        let now = open_fds();
        let refused = harness.try_send(channel, b"fds", &[fd; 10], Some(&name));
        (refused, open_fds() - now, harness.queued(channel).2)
    });
    assert_eq!(refused, (Err(SendError::Refused(Errno::MFILE)), 0, 0));
    harness.run_until(|harness, _| {
        while recv(&receiver).is_some() {}
        harness.queued(channel).0 == 0
    });
    while recv(&receiver).is_some() {}

    // No descriptor is left to wait for the receiver: the queue retries by its timer, without
    // spinning.
    let patient = harness.add(bound(&common::name()), limits());
    let few = open_fds();
    with_few(0, || {
        while harness.send(patient, b"full", Some(&name)) == Sent::Now {}
        assert!(harness.wakeups_in(Duration::from_millis(100)) < 20);
    });
    assert_eq!(open_fds(), few, "no descriptor waits");
    while recv(&receiver).is_some() {}
    harness.run_until(|harness, _| harness.queued(patient).0 == 0);
    while recv(&receiver).is_some() {}
    drop(harness.reactor.remove(patient));

    // The kernel cannot install descriptors: the message is refused, and those it installed are
    // closed.
    harness.reactor.set_reading(channel, true);
    let to = harness
        .reactor
        .channel(channel)
        .unwrap()
        .datagram_socket()
        .unwrap()
        .local_address()
        .unwrap();
    let now = open_fds();
    let refused = with_few(3, || {
        receiver.send(b"many", &[fd; 10], Some(&to)).unwrap();
        harness.run(Duration::from_secs(5))
    });
    assert!(
        matches!(refused[..], [Seen::Refused { why: Refusal::FdsTruncated, .. }]),
        "{refused:?}"
    );
    assert_eq!(open_fds(), now);

    // The channel closes while messages are queued.
    queue(&mut harness, channel, &name, fd);
    drop(harness.reactor.remove(channel));
    drop((harness, receiver, file));
    wait_for_open_fds(before);
}
