//! The buffer that receives control messages.
//!
//! ```text
//!   | length | level | type | data … | pad | length | level | type | data … | 0 0 0 …
//!   |<-------- header ---->|              |  credentials, a pidfd, descriptors, in any order
//! ```
//!
//! This module parses the buffer itself, for two reasons. rustix skips control messages that it
//! does not know, which leaks pidfds: any process that shares the socket can request one with each
//! message (`SO_PASSPIDFD`), at any time. And rustix assumes that a sender's pid is never 0, but
//! the kernel reports 0 for a process in another pid namespace.
//!
//! The buffer is all zeros between two receives, so that the parser can find the last message.

use std::mem::size_of;

use crate::sys::SOL_SOCKET;
use crate::{Credentials, ForeignFd, sys};

/// A buffer for control messages, which can be reused for any number of receives.
#[derive(Debug)]
#[repr(C, align(8))]
pub struct Control {
    pub(crate) space: [u8; SPACE],
}

impl Control {
    /// Creates a buffer with room for [`MAX_FDS`] descriptors and for other control messages that
    /// may have been enabled on a socket.
    #[must_use]
    pub fn new() -> Self {
        Self { space: [0; SPACE] }
    }

    /// Parses all control messages and clears the buffer. Appends descriptors to `fds`, and closes
    /// pidfds.
    pub(crate) fn drain(&mut self, fds: &mut Vec<ForeignFd>) -> Ancillary {
        let mut ancillary = Ancillary { any: false, credentials: None };
        let mut used = 0;
        for (part, end) in parts(&self.space) {
            ancillary.any = true;
            used = end;
            match part {
                Part::Fds(numbers) => {
                    fds.extend(ints(numbers).filter_map(sys::own_new_fd).map(ForeignFd::from))
                }
                Part::Credentials(ids) => {
                    ancillary.credentials = Some(Credentials::from_ints(ids));
                }
                Part::Pidfd(number) => drop(number.and_then(sys::own_new_fd)),
                Part::Other => {}
            }
        }
        self.space[..used.min(SPACE)].fill(0);
        ancillary
    }
}

/// One control message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// The numbers of descriptors, as ints of the machine. The last may be incomplete.
    Fds(&'a [u8]),
    /// A pid, a uid and a gid; 0 for what is missing.
    Credentials([i32; 3]),
    /// The number of a pidfd.
    Pidfd(Option<i32>),
    /// Any other control message.
    Other,
}

/// Returns the control messages in a buffer, up to the first without a length, and where each ends.
pub fn parts(space: &[u8]) -> impl Iterator<Item = (Part<'_>, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at;
        let len = word(space, start).filter(|&len| len >= HEADER)?;
        // A length beyond the buffer ends with it.
        let end = start.saturating_add(len).min(space.len());
        at = end.next_multiple_of(WORD).min(space.len());
        let data = space.get(start + HEADER..end).unwrap_or_default();
        let part = match (int(space, start + WORD), int(space, start + WORD + INT)) {
            (Some(SOL_SOCKET), Some(SCM_RIGHTS)) => Part::Fds(data),
            (Some(SOL_SOCKET), Some(SCM_CREDENTIALS)) => {
                Part::Credentials([0, 1, 2].map(|nth| int(data, nth * INT).unwrap_or(0)))
            }
            (Some(SOL_SOCKET), Some(SCM_PIDFD)) => Part::Pidfd(int(data, 0)),
            _ => Part::Other,
        };
        Some((part, at))
    })
}

/// Returns the ints in bytes. An incomplete one at the end is not returned.
fn ints(bytes: &[u8]) -> impl Iterator<Item = i32> {
    bytes.as_chunks().0.iter().copied().map(i32::from_ne_bytes)
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at..)?.first_chunk().copied().map(usize::from_ne_bytes)
}

fn int(bytes: &[u8], at: usize) -> Option<i32> {
    bytes.get(at..)?.first_chunk().copied().map(i32::from_ne_bytes)
}

/// The control messages of one received message, apart from its descriptors.
pub(crate) struct Ancillary {
    /// Whether there was any control message.
    pub(crate) any: bool,
    /// The sender's credentials, if the socket has `SO_PASSCRED`.
    pub(crate) credentials: Option<Credentials>,
}

impl Default for Control {
    fn default() -> Self {
        Self::new()
    }
}

/// Largest number of descriptors that one message can carry (the kernel's `SCM_MAX_FD`).
pub const MAX_FDS: usize = 253;

/// Size in bytes of a buffer for sending the descriptors of one message.
pub(crate) const SEND_SPACE: usize = rustix::cmsg_space!(ScmRights(MAX_FDS));
// `struct cmsghdr` consists of a length (`size_t`) and two ints, and is aligned to the length's
// size.
const WORD: usize = size_of::<usize>();
const INT: usize = size_of::<i32>();
const HEADER: usize = WORD + 2 * INT;
/// Size of the buffer in bytes. Descriptors may come last, so there is extra room for what the
/// kernel may write before them: credentials, a security label, timestamps.
const SPACE: usize = rustix::cmsg_space!(ScmRights(MAX_FDS), ScmCredentials(1)) + 512;
// From linux/socket.h.
const SCM_RIGHTS: i32 = 1;
const SCM_CREDENTIALS: i32 = 2;
const SCM_PIDFD: i32 = 4;
