//! Descriptors arrive complete, in order and close-on-exec, with unchanged flags and offsets, and
//! none stays open. The file has a single test, because it counts the descriptors of the process.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd};

use common::{TestDir, first_open_fds, open_fds, recv, wait_for_open_fds};
use fdwire_socket::{Datagram, Errno, MAX_FDS};
use rustix::fs::{OFlags, fcntl_getfl};
use rustix::io::{FdFlags, fcntl_getfd};

#[test]
fn fds_arrive_as_they_were_sent() {
    let before = first_open_fds();
    any_number_of_descriptors_arrives_in_order();
    more_than_the_maximum_is_rejected();
    an_empty_message_can_carry_descriptors();
    flags_and_offsets_are_unchanged();
    descriptors_of_a_dropped_message_are_closed(before);
    wait_for_open_fds(before);
}

fn any_number_of_descriptors_arrives_in_order() {
    let (a, b) = Datagram::pair().unwrap();
    for count in [0, 1, 3, MAX_FDS] {
        let pipes: Vec<_> = (0..count).map(|_| rustix::pipe::pipe().unwrap()).collect();
        let sent: Vec<_> = pipes.iter().map(|(_, writer)| writer.as_fd()).collect();
        a.send(b"message", &sent, None).unwrap();
        let message = recv(&b);
        assert_eq!(message.bytes, b"message");
        assert_eq!(message.fds.len(), count);
        assert!(!message.received.truncated && !message.received.fds_truncated);
        for (number, (fd, (reader, _))) in message.fds.iter().zip(&pipes).enumerate() {
            assert!(fcntl_getfd(fd).unwrap().contains(FdFlags::CLOEXEC));
            rustix::io::write(fd, &[u8::try_from(number).unwrap()]).unwrap();
            let mut byte = [0];
            rustix::io::read(reader, &mut byte).unwrap();
            assert_eq!(usize::from(byte[0]), number);
        }
    }
}

fn more_than_the_maximum_is_rejected() {
    let (a, b) = Datagram::pair().unwrap();
    let sent = vec![a.as_fd(); MAX_FDS + 1];
    assert_eq!(a.send(b"", &sent, None), Err(Errno::INVAL));
    assert_eq!(common::recv_into(&b, 1, 1).err(), Some(Errno::AGAIN));
}

fn an_empty_message_can_carry_descriptors() {
    let (a, b) = Datagram::pair().unwrap();
    a.send(b"", &[a.as_fd(), b.as_fd()], None).unwrap();
    let message = recv(&b);
    assert_eq!((message.bytes.len(), message.fds.len()), (0, 2));
    a.send(b"", &[], None).unwrap();
    let message = recv(&b);
    assert_eq!((message.bytes.len(), message.fds.len()), (0, 0));
}

fn flags_and_offsets_are_unchanged() {
    let dir = TestDir::new();
    fs::write(dir.join("file"), "0123456789").unwrap();
    let mut file = File::options().read(true).write(true).open(dir.join("file")).unwrap();
    file.seek(SeekFrom::Start(4)).unwrap();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let flags = |fd: BorrowedFd<'_>| fcntl_getfl(fd).unwrap();
    let before = (flags(file.as_fd()), flags(reader.as_fd()));

    let (a, b) = Datagram::pair().unwrap();
    a.send(b"x", &[file.as_fd(), reader.as_fd()], None).unwrap();
    let mut fds = recv(&b).fds;

    assert_eq!((flags(file.as_fd()), flags(reader.as_fd())), before);
    assert_eq!((flags(fds[0].as_fd()), flags(fds[1].as_fd())), before);
    assert!(!before.1.contains(OFlags::NONBLOCK));
    assert_eq!(file.stream_position().unwrap(), 4);
    let mut rest = String::new();
    File::from(fds.remove(0).into_owned()).read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "456789");
    writer.write_all(b"!").unwrap();
    let mut byte = [0];
    File::from(fds.remove(0).into_owned()).read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"!");
}

fn descriptors_of_a_dropped_message_are_closed(before: usize) {
    let (a, b) = Datagram::pair().unwrap();
    // Those of the previous part are closed in a thread.
    wait_for_open_fds(before + 2);
    let before = open_fds();
    a.send(b"x", &[a.as_fd(), b.as_fd()], None).unwrap();
    let message = recv(&b);
    assert_eq!(open_fds(), before + 2);
    drop(message);
    wait_for_open_fds(before);
    // This message is never received. The caller checks that its descriptors are closed as well.
    a.send(b"x", &[a.as_fd(), b.as_fd()], None).unwrap();
}
