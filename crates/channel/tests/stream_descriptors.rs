//! Descriptors on streams: each arrives with the message that it was sent with, or is closed.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::fs::File;
use std::io::{IoSlice, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use common::{PATIENCE, Seen, World, limits};
use fdwire_channel::{Limits, Refusal, SendError};
use fdwire_socket::{Errno, Stream};
use fdwire_wire::Protocol;

/// A file that holds its number.
fn numbered(number: usize) -> File {
    let fd = rustix::fs::memfd_create("fdw", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    let mut file = File::from(fd);
    file.write_all(number.to_string().as_bytes()).unwrap();
    file
}

fn number_of(fd: OwnedFd) -> usize {
    let mut file = File::from(fd);
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text.parse().unwrap()
}

/// Some of these tests count the descriptors of the process: only one runs at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open_fds() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn many_messages_with_descriptors_between_others_keep_theirs() {
    let _alone = alone();
    let before = open_fds();
    for protocol in [Protocol::LengthPrefixed, Protocol::Lines, Protocol::Stockings] {
        let mut world = World::new();
        let (a, b) = Stream::pair().unwrap();
        let open = Limits { max_open_fds: 100_000, ..limits() };
        let sender = world.add_stream(a, protocol, limits());
        let receiver = world.add_stream(b, protocol, open);
        world.reactor.set_reading(receiver, true).unwrap();
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
            match world.try_send(sender, &vec![b'x'; size], &fds, None) {
                Ok(_) => {
                    expected.push((size, (0..count).map(|at| sent * 100 + at).collect()));
                    sent += 1;
                }
                Err(SendError::QueueFull) => take(world.work(Duration::from_millis(5)), &mut got),
                Err(error) => panic!("{error:?}"),
            }
            if sent % 7 == 0 {
                take(world.work(Duration::ZERO), &mut got);
            }
        }
        world.reactor.flush();
        world.work_until(|_, seen| {
            take(seen, &mut got);
            got.len() == expected.len()
        });
        assert!(got == expected, "{protocol:?}");
    }
    assert_eq!(open_fds(), before);
}

#[test]
fn a_set_belongs_to_the_message_with_the_last_byte_of_its_chunk() {
    let _alone = alone();
    let mut world = World::new();
    let (peer, b) = Stream::pair().unwrap();
    let receiver = world.add_stream(b, Protocol::Lines, limits());
    world.reactor.set_reading(receiver, true).unwrap();
    let (one, two) = (numbered(1), numbered(2));
    // Bytes of two messages and a half, then the rest of the third with another set.
    peer.send(&[IoSlice::new(b"a\nb\nc")], &[one.as_fd()]).unwrap();
    peer.send(&[IoSlice::new(b"c\nd\n")], &[two.as_fd()]).unwrap();
    let mut got = Vec::new();
    world.work_until(|_, seen| {
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
fn a_channel_without_descriptors_refuses_the_message_and_closes_them() {
    let _alone = alone();
    let before = open_fds();
    let mut world = World::new();
    let (peer, b) = Stream::pair().unwrap();
    let receiver = world.add_stream(b, Protocol::Lines, Limits { max_fds: 0, ..limits() });
    world.reactor.set_reading(receiver, true).unwrap();
    let file = numbered(1);
    peer.send(&[IoSlice::new(b"with\n")], &[file.as_fd()]).unwrap();
    peer.send(&[IoSlice::new(b"without\n")], &[]).unwrap();
    let mut seen = Vec::new();
    world.work_until(|_, more| {
        seen.extend(more);
        seen.len() == 2
    });
    assert!(
        matches!(&seen[0], Seen::Refused { why: Refusal::TooManyFds, sample, .. } if sample == b"with")
    );
    assert!(matches!(&seen[1], Seen::Message { bytes, .. } if bytes == b"without"));
    drop((world, seen, peer, file));
    assert_eq!(open_fds(), before);
}

#[test]
fn a_frame_that_never_ends_holds_no_more_than_a_message_may_have() {
    let _alone = alone();
    let file = numbered(1);
    for (max_fds, held) in [(0, 0), (4, 3), (253, 253)] {
        let mut world = World::new();
        let (a, b) = Stream::pair().unwrap();
        let receiver = world.add_stream(b, Protocol::Lines, Limits { max_fds, ..limits() });
        world.reactor.set_reading(receiver, true).unwrap();
        let before = open_fds();
        let mut send = |bytes: &[u8], count: usize| {
            a.send(&[IoSlice::new(bytes)], &vec![file.as_fd(); count]).unwrap();
            assert!(world.work(Duration::ZERO).is_empty());
        };
        send(b"x", held);
        assert_eq!(open_fds() - before, held);
        for _ in 0..5 {
            send(b"x", 253);
            // One too many: none of them can be delivered any more.
            assert_eq!(open_fds(), before);
        }
        a.send(&[IoSlice::new(b"\nnext\n")], &[]).unwrap();
        let seen = world.work(Duration::ZERO);
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
fn descriptors_of_what_is_malformed_cut_or_queued_are_closed() {
    let _alone = alone();
    let before = open_fds();
    let file = numbered(1);
    {
        // Malformed.
        let mut world = World::new();
        let (peer, b) = Stream::pair().unwrap();
        let receiver = world.add_stream(b, Protocol::UdsComms, limits());
        world.reactor.set_reading(receiver, true).unwrap();
        peer.send(&[IoSlice::new(b"%x$")], &[file.as_fd()]).unwrap();
        let seen = world.work(PATIENCE);
        assert!(matches!(seen[..], [Seen::Refused { .. }]), "{seen:?}");
        // Noise.
        peer.send(&[IoSlice::new(b"noise")], &[file.as_fd()]).unwrap();
        world.work(Duration::from_millis(20));
        assert_eq!(open_fds(), before + 1 + 3 + 2, "the file, the world's three and the pair");
        // Half a message, with a set, and the end.
        peer.send(&[IoSlice::new(b"%aa")], &[file.as_fd()]).unwrap();
        drop(peer);
        let seen = world.work(PATIENCE);
        assert!(matches!(seen[..], [Seen::Cut { .. }]), "{seen:?}");
        assert_eq!(open_fds(), before + 1 + 3 + 1);
    }
    {
        // Queued, and then dropped.
        let mut world = World::new();
        let (a, _peer) = Stream::pair().unwrap();
        let sender = world.add_stream(a, Protocol::Lines, limits());
        for _ in 0..100 {
            world.try_send(sender, &[b'x'; 10_000], &[file.as_fd()], None).unwrap();
        }
        assert!(world.queued(sender).2 > 0);
        drop(world.reactor.remove(sender));
    }
    drop(file);
    assert_eq!(open_fds(), before);
}

#[test]
fn too_many_and_wrong_descriptors_are_refused_at_the_call() {
    let _alone = alone();
    let mut world = World::new();
    let (a, _peer) = Stream::pair().unwrap();
    let sender = world.add_stream(a, Protocol::Lines, limits());
    let file = numbered(1);
    let many = vec![file.as_fd(); 254];
    let refused = world.try_send(sender, b"x", &many, None);
    assert_eq!(refused, Err(SendError::Refused(Errno::INVAL)));
    assert_eq!(world.queued(sender), (0, 0, 0));
    world.try_send(sender, b"x", &many[..253], None).unwrap();
}
