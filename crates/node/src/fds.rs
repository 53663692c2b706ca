//! Descriptors that JavaScript knows by number.
//!
//! Those that it holds are owned here: whatever happens to the JavaScript side (a worker that is
//! terminated in mid-callback), they are closed with the environment.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};

use fdwire_socket::Errno;

/// Borrows a descriptor for a system call, which says EBADF where it isn't open.
///
/// # Errors
///
/// EBADF for a negative number.
pub(crate) fn lend<'a>(number: i32) -> Result<BorrowedFd<'a>, Errno> {
    if number < 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: not -1. Callers hand it to the kernel and let it go before JavaScript runs again.
    Ok(unsafe { BorrowedFd::borrow_raw(number) })
}

/// Takes over a descriptor that JavaScript gives away.
///
/// # Errors
///
/// EBADF where it isn't open; then nothing is taken.
pub(crate) fn take_over(number: i32) -> Result<OwnedFd, Errno> {
    rustix::io::fcntl_getfd(lend(number)?)?;
    // SAFETY: it is open, and the caller in JavaScript said that it is ours from now on.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Closes a descriptor.
///
/// # Errors
///
/// EBADF where somebody has closed the number behind our back.
pub(crate) fn close(fd: OwnedFd) -> Result<(), Errno> {
    // SAFETY: the descriptor was owned, and nobody has its number any more.
    unsafe { rustix::io::try_close(fd.into_raw_fd()) }
}

/// Owned descriptors, by number.
#[derive(Default)]
pub(crate) struct OwnedFds {
    by_number: Vec<Option<OwnedFd>>,
}

impl OwnedFds {
    /// Takes one in; its number.
    pub(crate) fn insert(&mut self, fd: OwnedFd) -> i32 {
        let number = fd.as_raw_fd();
        if let Ok(at) = usize::try_from(number) {
            if self.by_number.len() <= at {
                self.by_number.resize_with(at + 1, || None);
            }
            // Where one is here already, somebody has closed its number behind our back and the
            // kernel has given it out again: the number is the new one's, and must stay open.
            self.by_number[at].replace(fd).map(IntoRawFd::into_raw_fd);
        }
        number
    }

    /// Whether this number is ours.
    pub(crate) fn has(&self, number: i32) -> bool {
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        self.by_number.get(at).is_some_and(Option::is_some)
    }

    /// Gives one out; None if it isn't ours.
    pub(crate) fn take(&mut self, number: i32) -> Option<OwnedFd> {
        self.by_number.get_mut(usize::try_from(number).ok()?)?.take()
    }
}
