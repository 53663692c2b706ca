//! Counts the open descriptors of the process. The tests of `crates/channel` use this file, too.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use fdwire_socket::ForeignFd;

/// Returns the number of descriptors that this process has open. A test that calls this must be the
/// only one in its binary, because other tests in the process open descriptors concurrently.
pub fn open_fds() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Returns the number of open descriptors, once the process has opened what the closing threads
/// need.
pub fn first_open_fds() -> usize {
    let (closed, mut other) = UnixStream::pair().unwrap();
    drop(ForeignFd::from(OwnedFd::from(closed)));
    other.read_exact(&mut [0]).unwrap_err();
    drop(other);
    open_fds()
}

/// Waits until this number of descriptors is open: some are closed in a thread.
///
/// # Panics
///
/// If that takes more than 20 s.
pub fn wait_for_open_fds(count: usize) {
    let end = Instant::now() + Duration::from_secs(20);
    while open_fds() != count {
        assert!(Instant::now() < end, "{} descriptors are open, not {count}", open_fds());
        thread::yield_now();
    }
}
