//! Descriptors that JavaScript refers to by number.
//!
//! The descriptors of `FdSet`s are owned here. So they are closed with the environment even if
//! JavaScript cannot close them, for example because a worker is terminated in a callback.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};

use fdwire_socket::{Errno, ForeignFd, closing};

/// Borrows a descriptor for a system call, which fails with EBADF if it is not open.
///
/// # Errors
///
/// EBADF if the number is negative.
pub(crate) fn lend<'a>(number: i32) -> Result<BorrowedFd<'a>, Errno> {
    if number < 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: the number is not -1. JavaScript may have closed the descriptor before this call, but
    // not during the borrow, because callers only pass it to system calls before JavaScript runs
    // again. A system call fails with EBADF if the descriptor is not open.
    Ok(unsafe { BorrowedFd::borrow_raw(number) })
}

/// Takes ownership of a descriptor from JavaScript.
///
/// # Errors
///
/// EBADF if it is not open.
pub(crate) fn take_over(number: i32) -> Result<OwnedFd, Errno> {
    rustix::io::fcntl_getfd(lend(number)?)?;
    // SAFETY: the descriptor is open, and its owner in JavaScript gives up the ownership.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// The descriptors that one call closes.
#[derive(Default)]
pub(crate) struct Closing {
    /// Descriptors whose close(2) cannot wait.
    at_once: Vec<OwnedFd>,
    /// Descriptors for the closing threads.
    in_thread: Vec<ForeignFd>,
}

impl Closing {
    /// Adds a descriptor.
    ///
    /// # Errors
    ///
    /// EBADF if other code of the process has closed it.
    pub(crate) fn add(&mut self, fd: ForeignFd) -> Result<(), Errno> {
        match closing::closes_at_once(&fd) {
            Ok(true) => self.at_once.push(fd.into_owned()),
            Ok(false) => self.in_thread.push(fd),
            Err(errno) => {
                // The number is not open, and other code may get it soon.
                let _number = fd.into_owned().into_raw_fd();
                return Err(errno);
            }
        }
        Ok(())
    }

    /// Closes the descriptors, as far as that cannot wait. The closing threads close the others.
    pub(crate) fn finish(&mut self) {
        if !self.in_thread.is_empty() {
            closing::close_in_thread(self.in_thread.drain(..));
        }
        closing::close_at_once(&mut self.at_once);
    }
}

/// Owned descriptors by their numbers.
#[derive(Default)]
pub(crate) struct OwnedFds {
    by_number: Vec<Option<ForeignFd>>,
}

impl OwnedFds {
    /// Adds a descriptor, and returns its number.
    pub(crate) fn insert(&mut self, fd: ForeignFd) -> i32 {
        let number = fd.as_raw_fd();
        if let Ok(at) = usize::try_from(number) {
            if self.by_number.len() <= at {
                self.by_number.resize_with(at + 1, || None);
            }
            // A previous entry with this number is stale: other code of the process has closed the
            // descriptor, and the kernel has reused the number. Closing the entry would close `fd`.
            let stale = self.by_number[at].replace(fd);
            stale.map(|stale| stale.into_owned().into_raw_fd());
        }
        number
    }

    /// Returns whether there is a descriptor with this number.
    pub(crate) fn has(&self, number: i32) -> bool {
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        self.by_number.get(at).is_some_and(Option::is_some)
    }

    /// Removes the descriptor with this number.
    pub(crate) fn take(&mut self, number: i32) -> Option<ForeignFd> {
        self.by_number.get_mut(usize::try_from(number).ok()?)?.take()
    }
}
