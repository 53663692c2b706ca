//! What becomes of a message that is sent.

use std::os::fd::{BorrowedFd, OwnedFd};

use fdwire_socket::Errno;
use fdwire_wire::codec::Unframeable;
use rustix::io::fcntl_dupfd_cloexec;

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The kernel has it; or, on a stream, no more waits for the kernel than the high-water mark.
    Now,
    /// It is queued, under this number; on a stream, with more than the high-water mark.
    Queued(u64),
}

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The kernel refused it.
    Refused(Errno),
    /// The destination's queue is full.
    QueueFull,
    /// It goes in a file, and no descriptor has room beside that.
    TooManyFds,
    /// The protocol can't carry it.
    Unframeable(Unframeable),
}

/// Duplicates of descriptors stay clear of standard input, output and error.
const LOWEST_DUPLICATE: i32 = 3;

/// Duplicates borrowed descriptors, so that they can be queued.
pub(crate) fn duplicate(fds: &[BorrowedFd<'_>]) -> Result<Vec<OwnedFd>, SendError> {
    fds.iter()
        .map(|fd| fcntl_dupfd_cloexec(fd, LOWEST_DUPLICATE))
        .collect::<Result<_, _>>()
        .map_err(SendError::Refused)
}
