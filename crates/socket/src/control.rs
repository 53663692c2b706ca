//! The buffer that the kernel writes control messages into.
//!
//! ```text
//!   | length | level | type | data … | pad | length | level | type | data … | 0 0 0 …
//!   |<-------- header ---->|              |  credentials, a pidfd, descriptors, in any order
//! ```
//!
//! rustix gives the descriptors of SCM_RIGHTS and skips what it doesn't know, a pidfd among it. Any
//! process that has our socket can ask for one beside each message (SO_PASSPIDFD), at any time, so
//! what rustix skips is looked at here. To know where the messages end, the buffer is all zero
//! between two receives.

use std::mem::size_of;

use crate::datagram::MAX_FDS;
use crate::sys;

/// The buffer for control messages; one serves any number of receives.
#[derive(Debug)]
#[repr(C, align(8))]
pub struct Control {
    pub(crate) space: [u8; SPACE],
}

impl Control {
    /// Room for [`MAX_FDS`] descriptors, and for what a socket may have been asked for besides.
    #[must_use]
    pub fn new() -> Self {
        Self { space: [0; SPACE] }
    }

    /// Closes the pidfds of the messages in the buffer, and makes it zero again.
    pub(crate) fn settle(&mut self) {
        let mut at = 0;
        while let Some(len) = self.word(at).filter(|&len| len >= HEADER) {
            let data = at + HEADER;
            if self.int(at + WORD) == Some(SOL_SOCKET)
                && self.int(at + WORD + 4) == Some(SCM_PIDFD)
                && let Some(pidfd) = self.int(data)
            {
                drop(sys::received(pidfd));
            }
            at += len.next_multiple_of(WORD);
        }
        self.space[..at.min(SPACE)].fill(0);
    }

    fn word(&self, at: usize) -> Option<usize> {
        self.space.get(at..)?.first_chunk().copied().map(usize::from_ne_bytes)
    }

    fn int(&self, at: usize) -> Option<i32> {
        self.space.get(at..)?.first_chunk().copied().map(i32::from_ne_bytes)
    }
}

impl Default for Control {
    fn default() -> Self {
        Self::new()
    }
}

/// `struct cmsghdr` is a length and two ints, and stands at multiples of a length's size.
const WORD: usize = size_of::<usize>();
const HEADER: usize = WORD + 2 * size_of::<i32>();
/// The descriptors may come last, so what is written before them (credentials, a security label,
/// timestamps) must not take their room.
const SPACE: usize = rustix::cmsg_space!(ScmRights(MAX_FDS), ScmCredentials(1)) + 512;
// From asm-generic/socket.h and linux/socket.h; sys.rs refuses architectures with other numbers.
const SOL_SOCKET: i32 = 1;
const SCM_PIDFD: i32 = 4;
