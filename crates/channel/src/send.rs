//! The outcome of sending.

use std::os::fd::BorrowedFd;

use fdwire_socket::{Errno, ForeignFd};
use fdwire_wire::codec::Unframeable;
use rustix::io::fcntl_dupfd_cloexec;

/// What happened to a message that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The kernel has accepted it. On a stream: at most the high-water mark is queued.
    Now,
    /// It is queued with this sequence number. On a stream: more than the high-water mark is
    /// queued.
    Queued(u64),
}

/// Why a message was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The kernel refused it with this error.
    Refused(Errno),
    /// The queue of its destination is full.
    QueueFull,
    /// It needs a memfd, but already has the maximum number of descriptors.
    TooManyFds,
    /// The protocol cannot carry it.
    Unframeable(Unframeable),
}

/// What is queued on a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queued {
    /// The number of messages.
    pub messages: usize,
    /// The number of their bytes.
    pub bytes: usize,
    /// The number of their descriptors.
    pub fds: usize,
}

/// Lowest number of a duplicate; 0 to 2 are the standard streams.
const LOWEST_DUPLICATE: i32 = 3;

/// Duplicates borrowed descriptors, so that they can be queued.
pub(crate) fn duplicate(fds: &[BorrowedFd<'_>]) -> Result<Vec<ForeignFd>, SendError> {
    fds.iter()
        .map(|fd| fcntl_dupfd_cloexec(fd, LOWEST_DUPLICATE).map(ForeignFd::from))
        .collect::<Result<_, _>>()
        .map_err(SendError::Refused)
}
