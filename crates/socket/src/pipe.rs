//! Pipes that are shared with their sender.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{self, Mode, OFlags};
use rustix::io::retry_on_intr;

use crate::Errno;
use crate::file_system::is_on_local_disk;

/// Opens a pipe or FIFO again, with the same access. No other process has the new open file
/// description, so none can clear its O_NONBLOCK.
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
    let open = |flags| fs::open(&path, flags | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty());
    let own = open(flags)?;
    if flags.contains(OFlags::WRONLY) || !has_hangup(fd)? || has_hangup(own.as_fd())? {
        return Ok(own);
    }
    // All writers had closed the pipe when it was opened again. The kernel reports the end only to
    // readers that were open when the last writer closed, so one more writer opens and closes it.
    drop(open(OFlags::WRONLY)?);
    Ok(own)
}

/// Whether the kernel reports that a pipe has no writers any more.
fn has_hangup(pipe: BorrowedFd<'_>) -> Result<bool, Errno> {
    let mut ready = [PollFd::new(&pipe, PollFlags::IN)];
    retry_on_intr(|| poll(&mut ready, Some(&Timespec::default())))?;
    Ok(ready[0].revents().contains(PollFlags::HUP))
}
