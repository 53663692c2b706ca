//! Messages that are too large for a datagram or a record: they go in a file in memory.
//!
//! ```text
//!  datagram  <args-via-fd>    beside it  [file with the text] [descriptors of the message …]
//! ```
//!
//! Only jsoncomm has that, and only where the channel allows it.

use std::os::fd::{AsFd, OwnedFd};

use fdwire_socket::{Errno, MAX_FDS, MemoryFile, memfd_of, seal};

use crate::batch::Refusal;
use crate::limits::Limits;
use crate::send::SendError;

/// The kernel may have no block of memory for a datagram above this (bytes).
const BLOCK: usize = 64 * 1024;

/// Whether the kernel's refusal of a message means that it is to go in a file.
pub(super) fn is_for_file(limits: &Limits, len: usize, fds: usize, errno: Errno) -> bool {
    limits.memfd
        && match errno {
            Errno::MSGSIZE => true,
            // Without room beside its descriptors there is memory again some time.
            Errno::NOBUFS => len > BLOCK && fds < MAX_FDS,
            _ => false,
        }
}

/// Whether a message may be too large, so that it is worth asking how large one can be.
pub(super) fn may_be_for_file(limits: &Limits, len: usize) -> bool {
    limits.memfd && len > BLOCK
}

/// Puts a message with so many descriptors in a file.
pub(super) fn file_of(bytes: &[u8], fds: usize) -> Result<OwnedFd, SendError> {
    if fds >= MAX_FDS {
        return Err(SendError::TooManyFds);
    }
    let file = memfd_of(c"jsoncomm/payload", bytes).map_err(SendError::Refused)?;
    seal(file.as_fd()).map_err(SendError::Refused)?;
    Ok(file)
}

/// Takes a message out of the file that is its first descriptor.
pub(super) fn take_out(limits: &Limits, fds: &mut Vec<OwnedFd>) -> Result<Vec<u8>, Refusal> {
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
