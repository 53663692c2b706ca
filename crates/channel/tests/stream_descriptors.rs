//! Descriptors on streams arrive with the message that they were sent with, or are closed.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::fs::File;
use std::io::{IoSlice, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use common::{Harness, Seen, TIMEOUT, limits, open_fds};
use fdwire_channel::{Limits, Refusal, SendError};
use fdwire_socket::{Errno, ForeignFd, Stream};
use fdwire_wire::Protocol;

/// Creates a file that contains a number.
fn numbered(number: usize) -> File {
    let fd = rustix::fs::memfd_create("fdw", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    let mut file = File::from(fd);
    file.write_all(number.to_string().as_bytes()).unwrap();
    file
}

fn number_of(fd: ForeignFd) -> usize {
    let mut file = File::from(fd.into_owned());
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text.parse().unwrap()
}

/// Has one test run at a time: some of them count the descriptors of the process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn each_message_arrives_with_its_own_descriptors() {
    let _alone = alone();
    let before = open_fds();
    for protocol in [Protocol::LengthPrefixed, Protocol::Lines, Protocol::Stockings] {
        let mut harness = Harness::new();
        let (a, b) = Stream::pair().unwrap();
        let open = Limits { max_open_fds: 100_000, ..limits() };
        let sender = harness.add_stream(a, protocol, limits());
        let receiver = harness.add_stream(b, protocol, open);
        harness.reactor.set_reading(receiver, true);
        let mut expected = Vec::new();
        let (mut got, mut sent) = (Vec::new(), 0);
        let take = |seen: Vec<Seen>, got: &mut Vec<(usize, Vec<usize>)>| {
            for seen in seen {
                if let Seen::Message { bytes, fds, .. } = seen {
                    got.push((bytes.len(), fds.into_iter().map(number_of).collect()));
                }
            }
        };
        while sent < 400 {
            let size = [1, 10, 500, 40_000, 70_000, 250_000][sent % 6];
            let count = [0, 1, 0, 3, 0, 0, 16, 2][sent % 8];
            let files: Vec<File> = (0..count).map(|at| numbered(sent * 100 + at)).collect();
            let fds: Vec<BorrowedFd<'_>> = files.iter().map(AsFd::as_fd).collect();
            match harness.try_send(sender, &vec![b'x'; size], &fds, None) {
                Ok(_) => {
                    expected.push((size, (0..count).map(|at| sent * 100 + at).collect()));
                    sent += 1;
                }
                Err(SendError::QueueFull) => take(harness.run(Duration::from_millis(5)), &mut got),
                Err(error) => panic!("{error:?}"),
            }
            if sent % 7 == 0 {
                take(harness.run(Duration::ZERO), &mut got);
            }
        }
        harness.reactor.flush();
        harness.run_until(|_, seen| {
            take(seen, &mut got);
            got.len() == expected.len()
        });
        assert!(got == expected, "{protocol:?}");
    }
    assert_eq!(open_fds(), before);
}

#[test]
fn descriptors_belong_to_the_message_with_the_last_byte_of_their_chunk() {
    let _alone = alone();
    let mut harness = Harness::new();
    let (peer, b) = Stream::pair().unwrap();
    let receiver = harness.add_stream(b, Protocol::Lines, limits());
    harness.reactor.set_reading(receiver, true);
    let (one, two) = (numbered(1), numbered(2));
    // Two messages and half of a third, then the rest of the third with other descriptors.
    peer.send(&[IoSlice::new(b"a\nb\nc")], &[one.as_fd()]).unwrap();
    peer.send(&[IoSlice::new(b"c\nd\n")], &[two.as_fd()]).unwrap();
    let mut got = Vec::new();
    harness.run_until(|_, seen| {
        for seen in seen {
            if let Seen::Message { bytes, fds, .. } = seen {
                got.push((bytes, fds.into_iter().map(number_of).collect::<Vec<_>>()));
            }
        }
        got.len() == 4
    });
    let expected = [("a", vec![]), ("b", vec![]), ("cc", vec![1]), ("d", vec![2])];
    for ((bytes, fds), (text, numbers)) in got.iter().zip(expected) {
        assert_eq!((bytes.as_slice(), fds), (text.as_bytes(), &numbers));
    }
}

#[test]
fn with_max_fds_0_a_message_with_descriptors_is_refused_and_they_are_closed() {
    let _alone = alone();
    let before = open_fds();
    let mut harness = Harness::new();
    let (peer, b) = Stream::pair().unwrap();
    // A channel with `memfd` lets the kernel accept descriptors.
    let limits = Limits { max_fds: 0, memfd: true, ..limits() };
    let receiver = harness.add_stream(b, Protocol::Lines, limits);
    harness.reactor.set_reading(receiver, true);
    let file = numbered(1);
    peer.send(&[IoSlice::new(b"with\n")], &[file.as_fd()]).unwrap();
    peer.send(&[IoSlice::new(b"without\n")], &[]).unwrap();
    let mut seen = Vec::new();
    harness.run_until(|_, more| {
        seen.extend(more);
        seen.len() == 2
    });
    assert!(
        matches!(&seen[0], Seen::Refused { why: Refusal::TooManyFds, sample, .. } if sample == b"with")
    );
    assert!(matches!(&seen[1], Seen::Message { bytes, .. } if bytes == b"without"));
    drop((harness, seen, peer, file));
    assert_eq!(open_fds(), before);
}

#[test]
fn an_unfinished_frame_holds_at_most_max_fds_descriptors() {
    let _alone = alone();
    let file = numbered(1);
    for (max_fds, held) in [(0, 0), (4, 3), (253, 253)] {
        let mut harness = Harness::new();
        let (a, b) = Stream::pair().unwrap();
        // A channel with `memfd` lets the kernel accept descriptors.
        let limits = Limits { max_fds, memfd: true, ..limits() };
        let receiver = harness.add_stream(b, Protocol::Lines, limits);
        harness.reactor.set_reading(receiver, true);
        let before = open_fds();
        let mut send = |bytes: &[u8], count: usize| {
            a.send(&[IoSlice::new(bytes)], &vec![file.as_fd(); count]).unwrap();
            assert!(harness.run(Duration::ZERO).is_empty());
        };
        send(b"x", held);
        assert_eq!(open_fds() - before, held);
        for _ in 0..5 {
            send(b"x", 253);
            // With one descriptor too many none can be delivered.
            assert_eq!(open_fds(), before);
        }
        a.send(&[IoSlice::new(b"\nnext\n")], &[]).unwrap();
        let seen = harness.run(Duration::ZERO);
        assert!(
            matches!(
                &seen[..],
                [Seen::Refused { why: Refusal::TooManyFds, .. }, Seen::Message { .. }]
            ),
            "{seen:?}"
        );
    }
}

#[test]
fn descriptors_of_malformed_cut_off_and_queued_messages_are_closed() {
    let _alone = alone();
    let before = open_fds();
    let file = numbered(1);
    {
        // A malformed frame.
        let mut harness = Harness::new();
        let (peer, b) = Stream::pair().unwrap();
        let receiver = harness.add_stream(b, Protocol::UdsComms, limits());
        harness.reactor.set_reading(receiver, true);
        peer.send(&[IoSlice::new(b"%x$")], &[file.as_fd()]).unwrap();
        let seen = harness.run(TIMEOUT);
        assert!(matches!(seen[..], [Seen::Refused { .. }]), "{seen:?}");
        // Bytes outside of any frame.
        peer.send(&[IoSlice::new(b"noise")], &[file.as_fd()]).unwrap();
        harness.run(Duration::from_millis(20));
        assert_eq!(
            open_fds(),
            before + 1 + 3 + 2,
            "the file, the three of the reactor, and the pair"
        );
        // Half a message with descriptors, and then the end.
        peer.send(&[IoSlice::new(b"%aa")], &[file.as_fd()]).unwrap();
        drop(peer);
        let seen = harness.run(TIMEOUT);
        assert!(matches!(seen[..], [Seen::Cut { .. }]), "{seen:?}");
        assert_eq!(open_fds(), before + 1 + 3 + 1);
    }
    {
        // The channel closes while messages are queued.
        let mut harness = Harness::new();
        let (a, _peer) = Stream::pair().unwrap();
        let sender = harness.add_stream(a, Protocol::Lines, limits());
        for _ in 0..100 {
            harness.try_send(sender, &[b'x'; 10_000], &[file.as_fd()], None).unwrap();
        }
        assert!(harness.queued(sender).2 > 0);
        drop(harness.reactor.remove(sender));
    }
    drop(file);
    assert_eq!(open_fds(), before);
}

#[test]
fn too_many_descriptors_are_refused_at_the_call() {
    let _alone = alone();
    let mut harness = Harness::new();
    let (a, _peer) = Stream::pair().unwrap();
    let sender = harness.add_stream(a, Protocol::Lines, limits());
    let file = numbered(1);
    let many = vec![file.as_fd(); 254];
    let refused = harness.try_send(sender, b"x", &many, None);
    assert_eq!(refused, Err(SendError::Refused(Errno::INVAL)));
    assert_eq!(harness.queued(sender), (0, 0, 0));
    harness.try_send(sender, b"x", &many[..253], None).unwrap();
}
