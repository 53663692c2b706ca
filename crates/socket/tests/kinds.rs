//! `Kind::of` determines the type of each kind of descriptor.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};

use common::TestDir;
use fdwire_socket::{
    AddressFamily, Datagram, Errno, Kind, SocketType, describe, is_on_local_disk, reopen_pipe,
};
use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::fs::inotify;
use rustix::fs::{
    CWD, FileType, MemfdFlags, Mode, OFlags, fcntl_getfl, memfd_create, mknodat, open,
};
use rustix::net::{SocketFlags, listen, socket_with, socketpair};
use rustix::process::{PidfdFlags, getpid, pidfd_open};
use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};

fn kind(fd: impl AsFd) -> &'static str {
    Kind::of(fd.as_fd()).unwrap().name()
}

fn opened(path: &std::path::Path, flags: OFlags) -> OwnedFd {
    open(path, flags, Mode::empty()).unwrap()
}

#[test]
fn files_are_distinguished() {
    let dir = TestDir::new();
    fs::write(dir.join("file"), "x").unwrap();
    let file = File::open(dir.join("file")).unwrap();
    assert_eq!(kind(&file), "file");
    assert_eq!(kind(opened(&dir.join("file"), OFlags::PATH)), "path");
    fs::remove_file(dir.join("file")).unwrap();
    assert_eq!(kind(&file), "file");
    assert_eq!(kind(memfd_create("x", MemfdFlags::CLOEXEC).unwrap()), "memfd");
    assert_eq!(kind(File::open(&dir.0).unwrap()), "directory");
    mknodat(CWD, dir.join("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    assert_eq!(kind(opened(&dir.join("fifo"), OFlags::RDONLY | OFlags::NONBLOCK)), "pipe");
    assert_eq!(kind(File::open("/dev/null").unwrap()), "chardev");
    assert_eq!(kind(File::open("/dev/ptmx").unwrap()), "tty");
    assert_eq!(kind(File::open("/proc/self/ns/net").unwrap()), "other");
    std::os::unix::fs::symlink("nowhere", dir.join("link")).unwrap();
    assert_eq!(kind(opened(&dir.join("link"), OFlags::PATH | OFlags::NOFOLLOW)), "path");
}

#[test]
fn a_deleted_file_on_a_tmpfs_is_not_a_memfd() {
    let path = format!("/dev/shm/fdwire-{}", std::process::id());
    let Ok(file) = File::create(&path) else { return };
    fs::remove_file(&path).unwrap();
    assert_eq!(kind(file), "file");
}

#[test]
fn sockets_are_distinguished() {
    let dir = TestDir::new();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(kind(&tcp), "tcp-listener");
    assert_eq!(kind(TcpStream::connect(tcp.local_addr().unwrap()).unwrap()), "tcp-socket");
    assert_eq!(kind(UdpSocket::bind("127.0.0.1:0").unwrap()), "udp-socket");
    let unix = UnixListener::bind(dir.join("sock")).unwrap();
    assert_eq!(kind(&unix), "unix-listener");
    assert_eq!(kind(UnixDatagram::unbound().unwrap()), "unix-dgram");
    let pair = |kind| socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).unwrap().0;
    assert_eq!(kind(pair(SocketType::STREAM)), "unix-stream");
    assert_eq!(kind(pair(SocketType::SEQPACKET)), "unix-seqpacket");
    let seqpacket =
        socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
    let seqpacket = Datagram::adopt(seqpacket.unwrap()).unwrap();
    seqpacket.bind(&common::address(&dir.join("seq"))).unwrap();
    listen(&seqpacket, 1).unwrap();
    assert_eq!(kind(&seqpacket), "socket");
    let netlink = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None);
    assert_eq!(kind(netlink.unwrap()), "socket");
}

#[test]
fn descriptors_without_a_file_are_distinguished() {
    assert_eq!(kind(std::io::pipe().unwrap().0), "pipe");
    assert_eq!(kind(eventfd(0, EventfdFlags::CLOEXEC).unwrap()), "eventfd");
    assert_eq!(kind(epoll::create(epoll::CreateFlags::CLOEXEC).unwrap()), "epoll");
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC);
    assert_eq!(kind(timer.unwrap()), "timerfd");
    assert_eq!(kind(inotify::init(inotify::CreateFlags::CLOEXEC).unwrap()), "inotify");
    assert_eq!(kind(pidfd_open(getpid(), PidfdFlags::empty()).unwrap()), "pidfd");
}

#[test]
fn only_sockets_can_be_described() {
    let dir = TestDir::new();
    let listener = UnixListener::bind(dir.join("sock")).unwrap();
    let description = describe(listener.as_fd()).unwrap();
    assert_eq!(description.domain, AddressFamily::UNIX);
    assert_eq!(description.kind, SocketType::STREAM);
    assert!(description.listening);
    assert!(!describe(Datagram::new().unwrap().as_fd()).unwrap().listening);
    let file = File::open("/dev/null").unwrap();
    assert_eq!(describe(file.as_fd()), Err(Errno::NOTSOCK));
}

#[test]
fn files_of_disks_and_of_memory_are_local_and_those_of_the_kernel_are_not() {
    let memfd = memfd_create("x", MemfdFlags::CLOEXEC).unwrap();
    assert_eq!(is_on_local_disk(memfd.as_fd()), Ok(true));
    let dir = TestDir::new();
    let path = dir.join("file");
    std::fs::write(&path, "x").unwrap();
    let file = File::open(&path).unwrap();
    assert_eq!(is_on_local_disk(file.as_fd()), Ok(true));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(is_on_local_disk(file.as_fd()), Ok(true));
    for path in ["/proc/version", "/sys/kernel/mm"] {
        assert_eq!(is_on_local_disk(File::open(path).unwrap().as_fd()), Ok(false), "{path}");
    }
    // Its mount is in no list.
    let (pipe, _) = rustix::pipe::pipe().unwrap();
    assert_eq!(is_on_local_disk(pipe.as_fd()), Ok(false));
}

#[test]
fn a_reopened_pipe_has_the_same_data_and_access_but_its_own_flags() {
    let (reading, writing) = rustix::pipe::pipe().unwrap();
    let (reader, writer) =
        (reopen_pipe(reading.as_fd()).unwrap(), reopen_pipe(writing.as_fd()).unwrap());
    for (own, shared, access) in
        [(&reader, &reading, OFlags::RDONLY), (&writer, &writing, OFlags::WRONLY)]
    {
        let flags = fcntl_getfl(own).unwrap();
        assert_eq!(flags & (OFlags::ACCMODE | OFlags::NONBLOCK), access | OFlags::NONBLOCK);
        assert!(!fcntl_getfl(shared).unwrap().contains(OFlags::NONBLOCK));
    }
    rustix::io::write(&writing, b"ab").unwrap();
    let mut bytes = [0; 4];
    assert_eq!(rustix::io::read(&reader, &mut bytes), Ok(2));
    assert_eq!(rustix::io::read(&reader, &mut bytes), Err(Errno::AGAIN));
    drop((writing, writer));
    assert_eq!(rustix::io::read(&reader, &mut bytes), Ok(0));
}
