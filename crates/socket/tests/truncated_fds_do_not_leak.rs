//! If `RLIMIT_NOFILE` permits only some of a message's descriptors, the loss is reported and none
//! leaks. The file has a single test, because the limit applies to the process.

mod common;

use std::os::fd::{AsFd, AsRawFd};

use common::{first_open_fds, open_fds, recv, wait_for_open_fds};
use fdwire_socket::Datagram;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[test]
fn truncated_fds_do_not_leak() {
    let (a, b) = Datagram::pair().unwrap();
    a.send(b"three", &[a.as_fd(); 3], None).unwrap();
    a.send(b"three", &[a.as_fd(); 3], None).unwrap();
    a.send(b"none", &[], None).unwrap();
    let before = first_open_fds();
    let limit = getrlimit(Resource::Nofile);

    // The limit restricts descriptor numbers, and the numbers in use may have gaps.
    let leave_room = |fds: usize| {
        setrlimit(Resource::Nofile, limit).unwrap();
        let filled: Vec<_> = (0..=fds).map(|_| a.as_fd().try_clone_to_owned().unwrap()).collect();
        let current = Some(u64::try_from(filled[fds].as_raw_fd()).unwrap());
        setrlimit(Resource::Nofile, Rlimit { current, ..limit }).unwrap();
    };
    leave_room(2);
    let two = recv(&b);
    leave_room(0);
    let none = recv(&b);
    let empty = recv(&b);
    setrlimit(Resource::Nofile, limit).unwrap();

    assert_eq!((two.fds.len(), two.received.fds_truncated), (2, true));
    assert_eq!((none.fds.len(), none.received.fds_truncated), (0, true));
    assert_eq!((empty.fds.len(), empty.received.fds_truncated), (0, false));
    assert_eq!(
        (&two.bytes[..], &none.bytes[..], &empty.bytes[..]),
        (&b"three"[..], &b"three"[..], &b"none"[..])
    );
    assert_eq!(open_fds(), before + 2);
    drop(two);
    wait_for_open_fds(before);
}
