//! Receiving on a socket with `SO_PASSPIDFD` and `SO_PASSCRED` leaks no descriptor. The file has a
//! single test, because it counts the descriptors of the process.

mod common;

use std::os::fd::AsFd;
use std::process::Command;

use common::{first_open_fds, recv, wait_for_open_fds};
use fdwire_socket::Datagram;
use rustix::net::sockopt::set_socket_passcred;

#[test]
fn pidfds_do_not_leak() {
    let (a, b) = Datagram::pair().unwrap();
    set_socket_passcred(&b, true).unwrap();
    // No safe Rust function sets SO_PASSPIDFD (76), so a Python process that shares the socket
    // does.
    let set = "import socket; socket.socket(fileno=0).setsockopt(socket.SOL_SOCKET, 76, 1)";
    let shared = b.as_fd().try_clone_to_owned().unwrap();
    // Kernels before 6.5 reject the option. The test then covers only credentials.
    Command::new("python3").args(["-c", set]).stdin(shared).output().unwrap();

    let before = first_open_fds();
    for _ in 0..3 {
        a.send(b"x", &[a.as_fd()], None).unwrap();
        assert_eq!(recv(&b).fds.len(), 1);
    }
    wait_for_open_fds(before);
}
