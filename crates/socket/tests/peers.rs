//! Credentials of the peer and of the senders of messages.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::process::Command;

use common::recv;
use fdwire_socket::{
    Credentials, Datagram, Errno, Listener, SocketSetup, Stream, peer_credentials, peer_pidfd,
};
use rustix::io::{FdFlags, fcntl_getfd};
use rustix::net::sockopt;
use rustix::process::{getgid, getuid};

fn ourselves() -> Credentials {
    let pid = std::process::id().cast_signed();
    Credentials { pid, uid: getuid().as_raw(), gid: getgid().as_raw() }
}

/// Runs Python code with a socket as `s`, and returns what it prints.
fn python(socket: BorrowedFd<'_>, code: &str) -> String {
    let code = format!("import socket; s = socket.socket(fileno=0); {code}");
    let shared = socket.try_clone_to_owned().unwrap();
    let output = Command::new("python3").args(["-c", &code]).stdin(shared).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().into()
}

/// Returns whether the kernel supports SO_PASSPIDFD (76) and SO_PEERPIDFD (77), as Linux 6.5 does.
fn has_pidfds() -> bool {
    let (a, _b) = Stream::pair().unwrap();
    let get = "s.getsockopt(1, 76)";
    let code = format!("\ntry: {get}; print(1)\nexcept OSError: print(0)");
    python(a.as_fd(), &code) == "1"
}

#[test]
fn the_peer_is_the_process_that_created_the_pair() {
    let (a, _b) = Stream::pair().unwrap();
    assert_eq!(peer_credentials(a.as_fd()), Ok(ourselves()));
    let pidfd = peer_pidfd(a.as_fd());
    if !has_pidfds() {
        assert_eq!(pidfd.unwrap_err(), Errno::NOPROTOOPT);
        return;
    }
    let pidfd = pidfd.unwrap();
    assert_eq!(fcntl_getfd(&pidfd), Ok(FdFlags::CLOEXEC));
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).unwrap();
    assert!(info.lines().any(|line| line == format!("Pid:\t{}", std::process::id())), "{info}");
}

#[test]
fn tcp_and_unconnected_sockets_have_no_peer_credentials() {
    let setup = SocketSetup::default();
    let listener = Listener::listen_tcp("127.0.0.1:0".parse().unwrap(), 1, &setup).unwrap();
    let tcp = Stream::connect(&listener.local_address().unwrap(), None, &setup).unwrap().stream;
    let unconnected = Datagram::new().unwrap();
    for socket in [tcp.as_fd(), unconnected.as_fd()] {
        assert_eq!(peer_credentials(socket), Err(Errno::NODATA));
        let expected = if has_pidfds() { Errno::NODATA } else { Errno::NOPROTOOPT };
        assert_eq!(peer_pidfd(socket).unwrap_err(), expected);
    }
    let file = fs::File::open("/dev/null").unwrap();
    assert_eq!(peer_credentials(file.as_fd()), Err(Errno::NOTSOCK));
}

#[test]
fn enabled_credentials_arrive_with_each_message() {
    let (a, mut b) = Datagram::pair().unwrap();
    a.send(b"before", &[], None).unwrap();
    b.enable_credentials().unwrap();
    a.send(b"after", &[], None).unwrap();
    a.send(b"with descriptors", &[a.as_fd(), a.as_fd()], None).unwrap();
    // The kernel did not record the sender of this message.
    assert_eq!(recv(&b).received.credentials.map(|sender| sender.pid), Some(0));
    assert_eq!(recv(&b).received.credentials, Some(ourselves()));
    let message = recv(&b);
    assert_eq!((message.fds.len(), message.received.credentials), (2, Some(ourselves())));
}

#[test]
fn credentials_enabled_by_another_owner_are_not_reported() {
    let (a, b) = Datagram::pair().unwrap();
    sockopt::set_socket_passcred(&b, true).unwrap();
    a.send(b"x", &[], None).unwrap();
    assert_eq!(recv(&b).received.credentials, None);
    let (a, b) = Datagram::seqpacket_pair().unwrap();
    a.send(b"x", &[], None).unwrap();
    assert_eq!(recv(&b).received.credentials, None);
}

#[test]
fn a_socket_with_credentials_enabled_is_bound_when_it_sends() {
    let (mut a, b) = Datagram::pair().unwrap();
    a.enable_credentials().unwrap();
    assert!(a.local_address().unwrap().is_unnamed());
    a.send(b"x", &[], None).unwrap();
    let name = a.local_address().unwrap();
    assert!(!name.is_unnamed() && !name.is_path());
    assert_eq!(recv(&b).from, name);
}

#[test]
fn into_fd_restores_the_socket_options() {
    // SO_SNDBUF, SO_PASSCRED, SO_RCVLOWAT, SO_PASSPIDFD.
    let options = if has_pidfds() { "7, 16, 18, 76" } else { "7, 16, 18" };
    let values = |fd: BorrowedFd<'_>| {
        python(fd, &format!("print([s.getsockopt(1, option) for option in [{options}]])"))
    };
    let datagram = |fd: OwnedFd, credentials: bool| {
        let mut socket = Datagram::adopt(fd).unwrap();
        if credentials {
            socket.enable_credentials().unwrap();
        }
        socket.set_send_buffer(100_000).unwrap();
        socket.set_send_buffer(300_000).unwrap();
        if has_pidfds() {
            assert_eq!(python(socket.as_fd(), "print(s.getsockopt(1, 76))"), "0");
        }
        socket.into_fd()
    };
    for on in [0, 1] {
        let dgram = Datagram::pair().unwrap();
        let seqpacket = Datagram::seqpacket_pair().unwrap();
        let stream = Stream::pair().unwrap();
        let fds = [dgram.0.into_fd(), seqpacket.0.into_fd(), stream.0.into_fd()];
        for (at, fd) in fds.into_iter().enumerate() {
            let set = format!("s.setsockopt(1, 16, {on})");
            python(fd.as_fd(), &set);
            if has_pidfds() {
                python(fd.as_fd(), &set.replace("16", "76"));
            }
            let before = values(fd.as_fd());
            let returned = match at {
                0 => datagram(fd, true),
                1 => datagram(fd, false),
                _ => {
                    let socket = Stream::adopt(fd).unwrap();
                    socket.raise_send_buffer(300_000).unwrap();
                    assert_ne!(values(socket.as_fd()), before);
                    socket.into_fd()
                }
            };
            assert_eq!(values(returned.as_fd()), before);
        }
    }
}
