//! Messages that are too large for a datagram or a record: their text goes in a memfd.
//!
//! ```text
//!  datagram  <args-via-fd>    descriptors  [memfd with the text] [descriptors of the message …]
//! ```
//!
//! Only jsoncomm does that, and only if the channel allows it.

use std::os::fd::{AsFd, OwnedFd};

use fdwire_socket::{Errno, MAX_FDS, MemoryFile, memfd_of, seal};

use crate::batch::Refusal;
use crate::limits::Limits;
use crate::send::SendError;

/// The kernel may be out of contiguous memory for a datagram above this length (bytes).
const CONTIGUOUS: usize = 64 * 1024;

/// Returns whether a message that the kernel has refused goes in a memfd.
pub(super) fn goes_in_memfd(limits: &Limits, len: usize, fds: usize, errno: Errno) -> bool {
    limits.memfd
        && match errno {
            Errno::MSGSIZE => true,
            // A message with all its descriptors waits for memory instead.
            Errno::NOBUFS => len > CONTIGUOUS && fds < MAX_FDS,
            _ => false,
        }
}

/// Returns whether a message may be too large for a datagram, so that its exact limit is worth a
/// system call.
pub(super) fn may_go_in_memfd(limits: &Limits, len: usize) -> bool {
    limits.memfd && len > CONTIGUOUS
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

/// Reads the text of a message from the memfd that is its first descriptor.
pub(super) fn take_text(limits: &Limits, fds: &mut Vec<OwnedFd>) -> Result<Vec<u8>, Refusal> {
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
