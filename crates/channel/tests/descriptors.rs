//! Queued descriptors are duplicates of our own, and are closed whatever becomes of their message.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use common::{Seen, World, bound, limits, name, recv};
use fdwire_channel::{Limits, Refusal, SendError, Sent};
use fdwire_socket::{Address, Datagram, Errno};
use rustix::event::EventfdFlags;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

fn numbers() -> BTreeSet<u64> {
    let entries = fs::read_dir("/proc/self/fd").unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect()
}

fn open_fds() -> usize {
    numbers().len()
}

/// Queues 20 messages with two descriptors each behind a full receiver.
fn queue(world: &mut World, channel: usize, to: &Address, fd: BorrowedFd<'_>) {
    while world.send(channel, b"full", Some(to)) == Sent::Now {}
    for _ in 0..20 {
        assert!(world.try_send(channel, b"fds", &[fd, fd], Some(to)).is_ok());
    }
}

/// Runs `work` while `more` descriptors can be opened, and no more.
fn with_few<T>(more: usize, work: impl FnOnce() -> T) -> T {
    let before = getrlimit(Resource::Nofile);
    let current = numbers().last().map(|highest| highest + 1 + more as u64);
    setrlimit(Resource::Nofile, Rlimit { current, ..before }).unwrap();
    // There are gaps among the numbers.
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

// Everything here counts the descriptors of the process, so it is one test.
#[test]
fn no_descriptor_is_left_open() {
    let before = open_fds();
    let (file, _other) = Datagram::pair().unwrap();
    let fd = file.as_fd();
    let name = name();
    let receiver = bound(&name);
    let mut world = World::new();
    let channel = world.add(
        bound(&common::name()),
        Limits { send_timeout: Some(Duration::from_millis(50)), ..limits() },
    );
    let quiet = open_fds();
    let inherited = numbers();

    // Duplicated, close-on-exec, one waiter for the lane; sent, they are closed.
    queue(&mut world, channel, &name, fd);
    assert_eq!((open_fds() - quiet, world.queued(channel).2), (20 * 2 + 1, 40));
    for number in numbers().difference(&inherited) {
        // The listing's own descriptor is gone by now.
        let Ok(info) = fs::read_to_string(format!("/proc/self/fdinfo/{number}")) else { continue };
        assert!(info.contains("flags:\t02"), "close-on-exec: {info}");
    }
    let mut with_fds = 0;
    world.work_until(|world, _| {
        while let Some((bytes, fds)) = recv(&receiver) {
            if bytes == b"fds" {
                assert_eq!(fds.len(), 2);
                with_fds += 1;
            }
        }
        world.queued(channel).0 == 0
    });
    while recv(&receiver).is_some_and(|(bytes, _)| bytes == b"fds") {
        with_fds += 1;
    }
    assert_eq!((with_fds, open_fds()), (20, quiet));

    // Expired.
    queue(&mut world, channel, &name, fd);
    world.work_until(|world, _| world.queued(channel).0 == 0);
    assert_eq!(open_fds(), quiet);
    while recv(&receiver).is_some() {}

    // Refused by the kernel: its receiver is gone.
    let next = common::name();
    let gone = bound(&next);
    queue(&mut world, channel, &next, fd);
    drop(gone);
    world.work_until(|world, _| world.queued(channel).0 == 0);
    assert_eq!(open_fds(), quiet);

    // No descriptor left for a duplicate: the message is not taken, nothing of it stays.
    while world.send(channel, b"full", Some(&name)) == Sent::Now {}
    let refused = with_few(3, || {
        let now = open_fds();
        let refused = world.try_send(channel, b"fds", &[fd; 10], Some(&name));
        (refused, open_fds() - now, world.queued(channel).2)
    });
    assert_eq!(refused, (Err(SendError::Refused(Errno::MFILE)), 0, 0));
    world.work_until(|world, _| {
        while recv(&receiver).is_some() {}
        world.queued(channel).0 == 0
    });
    while recv(&receiver).is_some() {}

    // No descriptor left for the lane's waiter: it tries again by itself, without spinning.
    let patient = world.add(bound(&common::name()), limits());
    let few = open_fds();
    with_few(0, || {
        while world.send(patient, b"full", Some(&name)) == Sent::Now {}
        assert!(world.wakeups_in(Duration::from_millis(100)) < 20);
    });
    assert_eq!(open_fds(), few, "no waiter");
    while recv(&receiver).is_some() {}
    world.work_until(|world, _| world.queued(patient).0 == 0);
    while recv(&receiver).is_some() {}
    drop(world.reactor.remove(patient));

    // Descriptors that can't be received: the message is refused, and what came of it is closed.
    world.reactor.set_reading(channel, true).unwrap();
    let to =
        world.reactor.channel(channel).unwrap().datagram_socket().unwrap().local_address().unwrap();
    let now = open_fds();
    let refused = with_few(3, || {
        receiver.send(b"many", &[fd; 10], Some(&to)).unwrap();
        world.work(Duration::from_secs(5))
    });
    assert!(
        matches!(refused[..], [Seen::Refused { why: Refusal::FdsTruncated, .. }]),
        "{refused:?}"
    );
    assert_eq!(open_fds(), now);

    // Queued when the channel closes.
    queue(&mut world, channel, &name, fd);
    drop(world.reactor.remove(channel));
    drop((world, receiver, file, _other));
    assert_eq!(open_fds(), before);
}
