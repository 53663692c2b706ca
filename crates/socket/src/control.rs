//! The buffer that the kernel writes control messages into.
//!
//! ```text
//!   | length | level | type | data … | pad | length | level | type | data … | 0 0 0 …
//!   |<-------- header ---->|              |  credentials, a pidfd, descriptors, in any order
//! ```
//!
//! They are read here, and not by rustix: that skips what it doesn't know, a pidfd among it, which any
//! process that has our socket can ask for beside each message (SO_PASSPIDFD), at any time; and it takes
//! a sender's pid for a number that is never 0, which it is across pid name spaces. To know where the
//! messages end, the buffer is all zero between two receives.

use std::mem::size_of;
use std::os::fd::OwnedFd;

use crate::datagram::MAX_FDS;
use crate::sys::SOL_SOCKET;
use crate::{Credentials, sys};

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

    /// Takes what the messages in the buffer bring, and makes it zero again: descriptors are appended to
    /// `fds`, pidfds are closed.
    pub(crate) fn take(&mut self, fds: &mut Vec<OwnedFd>) -> Taken {
        let mut taken = Taken { any: false, credentials: None };
        let mut at = 0;
        while let Some(len) = self.word(at).filter(|&len| len >= HEADER) {
            taken.any = true;
            let data = at + HEADER..(at + len).min(SPACE);
            match (self.int(at + WORD), self.int(at + WORD + INT)) {
                (Some(SOL_SOCKET), Some(SCM_RIGHTS)) => {
                    let numbers = data.step_by(INT).filter_map(|at| self.int(at));
                    fds.extend(numbers.filter_map(sys::received));
                }
                (Some(SOL_SOCKET), Some(SCM_CREDENTIALS)) => {
                    let ints = [0, 1, 2].map(|nth| self.int(data.start + nth * INT).unwrap_or(0));
                    taken.credentials = Some(Credentials::from_ints(ints));
                }
                (Some(SOL_SOCKET), Some(SCM_PIDFD)) => {
                    drop(self.int(data.start).and_then(sys::received));
                }
                _ => {}
            }
            at += len.next_multiple_of(WORD);
        }
        self.space[..at.min(SPACE)].fill(0);
        taken
    }

    fn word(&self, at: usize) -> Option<usize> {
        self.space.get(at..)?.first_chunk().copied().map(usize::from_ne_bytes)
    }

    fn int(&self, at: usize) -> Option<i32> {
        self.space.get(at..)?.first_chunk().copied().map(i32::from_ne_bytes)
    }
}

/// What came beside a message.
pub(crate) struct Taken {
    /// Whether anything came.
    pub(crate) any: bool,
    /// Who sent it, where the socket asks for that.
    pub(crate) credentials: Option<Credentials>,
}

impl Default for Control {
    fn default() -> Self {
        Self::new()
    }
}

/// `struct cmsghdr` is a length and two ints, and stands at multiples of a length's size.
const WORD: usize = size_of::<usize>();
const INT: usize = size_of::<i32>();
const HEADER: usize = WORD + 2 * INT;
/// The descriptors may come last, so what is written before them (credentials, a security label,
/// timestamps) must not take their room.
const SPACE: usize = rustix::cmsg_space!(ScmRights(MAX_FDS), ScmCredentials(1)) + 512;
// From linux/socket.h.
const SCM_RIGHTS: i32 = 1;
const SCM_CREDENTIALS: i32 = 2;
const SCM_PIDFD: i32 = 4;
