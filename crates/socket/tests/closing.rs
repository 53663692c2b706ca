//! Closing a received descriptor never waits for another process.
#![allow(missing_docs, clippy::unwrap_used)]

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fdwire_socket::{Datagram, ForeignFd, Stream, closing};
use rustix::fs::{MemfdFlags, Mode, OFlags, open};
use rustix::net::sockopt;

/// Longer than anything in these tests takes, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The linger time of the sockets below, longer than any test waits.
const LINGER: Duration = Duration::from_secs(3_600);

/// Has one test run at a time, because the queue belongs to the process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Creates a TCP socket with unsent bytes, whose close(2) waits for an hour. Also returns its peer,
/// which reads nothing.
fn lingering() -> (OwnedFd, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (peer, _) = listener.accept().unwrap();
    socket.set_nonblocking(true).unwrap();
    let full = loop {
        if let Err(error) = socket.write(&[0; 65_536]) {
            break error;
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    sockopt::set_socket_linger(&socket, Some(LINGER)).unwrap();
    (socket.into(), peer)
}

fn is_open(number: i32) -> bool {
    std::fs::read_link(format!("/proc/self/fd/{number}")).is_ok()
}

fn wait_until(done: impl Fn() -> bool) {
    let end = Instant::now() + TIMEOUT;
    while !done() {
        assert!(Instant::now() < end, "too slow");
        std::thread::yield_now();
    }
}

/// Drops a value, and asserts that this did not wait.
fn drop_at_once(value: impl Sized) {
    let start = Instant::now();
    drop(value);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

/// Reads the rest of a connection, which ends if all descriptors of the other end are closed.
fn assert_ends(mut peer: TcpStream) {
    peer.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut rest = Vec::new();
    peer.read_to_end(&mut rest).unwrap();
}

#[test]
fn a_file_in_memory_is_closed_by_the_caller() {
    let file = rustix::fs::memfd_create("fdw-closed", MemfdFlags::CLOEXEC).unwrap();
    let number = file.as_raw_fd();
    assert!(closing::closes_at_once(&file).unwrap());
    drop(ForeignFd::from(file));
    // Another test may have opened the number.
    let target = std::fs::read_link(format!("/proc/self/fd/{number}")).unwrap_or_default();
    assert!(!target.to_string_lossy().contains("fdw-closed"), "{target:?}");
}

#[test]
fn the_null_device_is_closed_by_the_caller() {
    assert!(closing::closes_at_once(&File::open("/dev/null").unwrap()).unwrap());
}

#[test]
fn what_may_wait_is_not_closed_by_the_caller() {
    let (pipe, _) = rustix::pipe::pipe().unwrap();
    let (unix, _) = UnixStream::pair().unwrap();
    let terminal = open("/dev/ptmx", OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    let proc = File::open("/proc/self/status").unwrap();
    for fd in [pipe, unix.into(), terminal, proc.into()] {
        assert!(!closing::closes_at_once(&fd).unwrap(), "{fd:?}");
    }
}

#[test]
fn lingering_sockets_hold_up_neither_the_caller_nor_others() {
    let _alone = alone();
    let (sockets, peers): (Vec<_>, Vec<_>) = (0..40).map(|_| lingering()).unzip();
    let mut sockets: Vec<ForeignFd> = sockets.into_iter().map(ForeignFd::from).collect();
    let start = Instant::now();
    closing::discard(&mut sockets);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    drop(ForeignFd::from(writer));
    assert_eq!(File::from(reader).read(&mut [0]).unwrap(), 0, "the pipe's writer is closed");
    wait_until(|| closing::pending() == 0);
    peers.into_iter().for_each(assert_ends);
}

#[test]
fn a_lingering_socket_in_the_queue_of_a_unix_socket_holds_up_nobody() {
    let _alone = alone();
    let (sender, receiver) = Datagram::pair().unwrap();
    let (socket, peer) = lingering();
    sender.send(&[], &[socket.as_fd()], None).unwrap();
    drop_at_once(ForeignFd::from(socket));
    drop(sender);
    drop_at_once(ForeignFd::from(receiver.into_fd()));
    wait_until(|| closing::pending() == 0);
    assert_ends(peer);
}

#[test]
fn a_socket_of_this_crate_with_unread_descriptors_is_closed_without_waiting() {
    let _alone = alone();
    let mut peers = Vec::new();
    for seqpacket in [false, true] {
        let pair = if seqpacket { Datagram::seqpacket_pair() } else { Datagram::pair() };
        let (sender, receiver) = pair.unwrap();
        let (socket, peer) = lingering();
        sender.send(&[], &[socket.as_fd()], None).unwrap();
        drop(ForeignFd::from(socket));
        drop(sender);
        drop_at_once(receiver);
        peers.push(peer);
    }
    let (sender, receiver) = Stream::pair().unwrap();
    let (socket, peer) = lingering();
    sender.send(&[std::io::IoSlice::new(b"x")], &[socket.as_fd()]).unwrap();
    drop(ForeignFd::from(socket));
    drop(sender);
    drop_at_once(receiver);
    peers.push(peer);
    wait_until(|| closing::pending() == 0);
    peers.into_iter().for_each(assert_ends);
}

#[test]
fn discarded_descriptors_are_closed_when_the_call_returns() {
    let _alone = alone();
    for _ in 0..20 {
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let numbers = [reader.as_raw_fd(), writer.as_raw_fd()];
        closing::discard(&mut vec![reader.into(), writer.into()]);
        let targets = numbers.map(|number| std::fs::read_link(format!("/proc/self/fd/{number}")));
        let is_pipe = |target: &std::io::Result<PathBuf>| {
            target.as_ref().is_ok_and(|target| target.to_string_lossy().starts_with("pipe:"))
        };
        assert!(!targets.iter().any(is_pipe), "{targets:?}");
        assert_eq!(closing::waiting_threads(), 0);
    }
}

#[test]
fn runs_of_descriptors_are_closed_and_no_others() {
    let files: Vec<OwnedFd> =
        (0..9).map(|_| rustix::fs::memfd_create("fdw", MemfdFlags::CLOEXEC).unwrap()).collect();
    let (kept, mut closed): (Vec<_>, Vec<_>) =
        files.into_iter().enumerate().partition(|(at, _)| *at == 3 || *at == 5);
    let numbers: Vec<i32> = closed.iter().map(|(_, fd)| fd.as_raw_fd()).collect();
    closing::close_at_once(&mut closed.drain(..).map(|(_, fd)| fd).collect());
    let targets =
        numbers.iter().map(|number| std::fs::read_link(format!("/proc/self/fd/{number}")));
    assert!(targets.into_iter().all(|target| !target.is_ok_and(|target| target.ends_with("fdw"))));
    assert!(kept.iter().all(|(_, fd)| is_open(fd.as_raw_fd())));
}
