//! A descriptor of an object that another process may control.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use crate::closing;

/// A received descriptor, or a duplicate that may be one of a received descriptor.
///
/// close(2) of such a descriptor may wait for as long as another process likes. Dropping this type
/// never waits; see [`closing`].
#[derive(Debug)]
pub struct ForeignFd(Option<OwnedFd>);

/// Why the descriptor is present: only `into_owned` and `drop` take it, and nothing follows them.
const PRESENT: &str = "a ForeignFd has its descriptor until it is consumed";

impl ForeignFd {
    /// Returns the descriptor. Dropping the result may wait.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "it cannot panic")]
    pub fn into_owned(mut self) -> OwnedFd {
        self.0.take().expect(PRESENT)
    }
}

impl From<OwnedFd> for ForeignFd {
    fn from(fd: OwnedFd) -> Self {
        Self(Some(fd))
    }
}

impl AsFd for ForeignFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_ref().expect(PRESENT).as_fd()
    }
}

impl AsRawFd for ForeignFd {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl Drop for ForeignFd {
    fn drop(&mut self) {
        if let Some(fd) = self.0.take() {
            closing::close(fd);
        }
    }
}
