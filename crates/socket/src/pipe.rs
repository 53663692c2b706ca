//! Pipes that are shared with their sender.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{self, Mode, OFlags};

use crate::Errno;
use crate::file_system::is_on_local_disk;

/// Opens a pipe or FIFO again, with the same access: nobody else has the new open file description,
/// so nobody can remove its O_NONBLOCK.
///
/// # Errors
///
/// `EOPNOTSUPP` for a FIFO in a file system whose server would have to be asked; `EACCES` for a pipe
/// of another user; `ENXIO` for the writing end of a pipe without readers; `ENOENT` without /proc.
pub fn reopen_pipe(fd: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let path = format!("/proc/thread-self/fd/{}", fd.as_raw_fd());
    let link = fs::readlink(&path, Vec::new())?;
    if !link.to_bytes().starts_with(b"pipe:[") && !is_on_local_disk(fd)? {
        return Err(Errno::OPNOTSUPP);
    }
    // O_DIRECT makes each write a packet.
    let flags = fs::fcntl_getfl(fd)? & (OFlags::ACCMODE | OFlags::DIRECT);
    fs::open(path, flags | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
}
