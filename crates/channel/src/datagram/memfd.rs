//! Messages whose text is sent in a memfd, because it is too large for a datagram or a record.
//!
//! ```text
//!  datagram  <args-via-fd>    descriptors  [memfd with the text] [descriptors of the message …]
//! ```
//!
//! Only jsoncomm has such messages, and only if the channel permits them.

use std::os::fd::{AsFd, OwnedFd};

use fdwire_socket::{Errno, ForeignFd, MAX_FDS, MemoryFile, memfd_of, seal};

use crate::batch::Refusal;
use crate::limits::Limits;
use crate::send::SendError;

/// Length in bytes above which a datagram may fail with ENOBUFS, because the kernel has no
/// contiguous memory for it.
const CONTIGUOUS: usize = 64 * 1024;

/// Returns whether to send a message in a memfd after the kernel has refused it with `errno`.
pub(super) fn goes_in_memfd(limits: &Limits, len: usize, fds: usize, errno: Errno) -> bool {
    limits.memfd
        && match errno {
            Errno::MSGSIZE => true,
            // A message that already has the maximum number of descriptors waits for memory
            // instead.
            Errno::NOBUFS => len > CONTIGUOUS && fds < MAX_FDS,
            _ => false,
        }
}

/// Creates the memfd for the text of a message with `fds` descriptors.
pub(super) fn memfd_for(text: &[u8], fds: usize) -> Result<OwnedFd, SendError> {
    if fds >= MAX_FDS {
        return Err(SendError::TooManyFds);
    }
    let memfd = memfd_of(c"jsoncomm/payload", text).map_err(SendError::Refused)?;
    seal(memfd.as_fd()).map_err(SendError::Refused)?;
    Ok(memfd)
}

/// Removes the first descriptor of a message, which must be a memfd, and returns its contents.
pub(super) fn take_text(limits: &Limits, fds: &mut Vec<ForeignFd>) -> Result<Vec<u8>, Refusal> {
    if fds.is_empty() {
        return Err(Refusal::NoMemoryFile);
    }
    let file = fds.remove(0);
    let file = MemoryFile::from_offset(&file).ok_or(Refusal::NoMemoryFile)?;
    if file.len() > limits.max_message as u64 {
        return Err(Refusal::TooLarge);
    }
    file.read().map_err(|_| Refusal::NoMemoryFile)
}
