//! A socket that somebody asks for a pidfd and credentials beside each message leaks no descriptor.
//! One test, since it counts the descriptors of the whole process.

mod common;

use std::os::fd::AsFd;
use std::process::Command;

use common::{open_fds, recv};
use fdwire_socket::Datagram;
use rustix::net::sockopt::set_socket_passcred;

#[test]
fn pidfds_do_not_leak() {
    let (a, b) = Datagram::pair().unwrap();
    set_socket_passcred(&b, true).unwrap();
    // Nothing safe sets SO_PASSPIDFD (76) here, but any process that holds the socket can.
    let set = "import socket; socket.socket(fileno=0).setsockopt(socket.SOL_SOCKET, 76, 1)";
    let shared = b.as_fd().try_clone_to_owned().unwrap();
    // A kernel before 6.5 refuses it, and then there is no pidfd; the rest must hold all the same.
    Command::new("python3").args(["-c", set]).stdin(shared).output().unwrap();

    let before = open_fds();
    for _ in 0..3 {
        a.send(b"x", &[a.as_fd()], None).unwrap();
        assert_eq!(recv(&b).fds.len(), 1);
    }
    assert_eq!(open_fds(), before);
}
