//! Where `RLIMIT_NOFILE` lets in a part of the descriptors, that is said, and none of them leaks.
//! One test: the limit is the whole process's.

mod common;

use std::os::fd::{AsFd, AsRawFd};

use common::{open_fds, recv};
use fdwire_socket::Datagram;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[test]
fn fds_received_truncated_are_closed() {
    let (a, b) = Datagram::pair().unwrap();
    a.send(b"three", &[a.as_fd(); 3], None).unwrap();
    a.send(b"three", &[a.as_fd(); 3], None).unwrap();
    a.send(b"none", &[], None).unwrap();
    let before = open_fds();
    let limit = getrlimit(Resource::Nofile);

    // The limit is one of numbers, and those in use need not be the lowest.
    let room = |fds: usize| {
        setrlimit(Resource::Nofile, limit).unwrap();
        let filled: Vec<_> = (0..=fds).map(|_| a.as_fd().try_clone_to_owned().unwrap()).collect();
        let current = Some(u64::try_from(filled[fds].as_raw_fd()).unwrap());
        setrlimit(Resource::Nofile, Rlimit { current, ..limit }).unwrap();
    };
    room(2);
    let two = recv(&b);
    room(0);
    let none = recv(&b);
    let whole = recv(&b);
    setrlimit(Resource::Nofile, limit).unwrap();

    assert_eq!((two.fds.len(), two.received.fds_truncated), (2, true));
    assert_eq!((none.fds.len(), none.received.fds_truncated), (0, true));
    assert_eq!((whole.fds.len(), whole.received.fds_truncated), (0, false));
    assert_eq!(
        (&two.bytes[..], &none.bytes[..], &whole.bytes[..]),
        (&b"three"[..], &b"three"[..], &b"none"[..])
    );
    assert_eq!(open_fds(), before + 2);
    drop(two);
    assert_eq!(open_fds(), before);
}
