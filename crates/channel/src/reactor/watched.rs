//! Descriptors that are watched until they are readable, and not read.

use fdwire_socket::{Errno, ForeignFd};

use super::{Entry, Reactor};
use crate::poll::{EventFlags, Token};

/// The readiness which tells that the peer sends nothing more.
pub(super) const ENDED: EventFlags =
    EventFlags::RDHUP.union(EventFlags::HUP).union(EventFlags::ERR);

impl Reactor {
    /// Watches a descriptor. Returns its index; no channel or listener has the same.
    ///
    /// An event reports whenever more input has arrived, and the end. What was not read stays
    /// readable, so only changes are reported (`EPOLLET`).
    ///
    /// # Errors
    ///
    /// `ENOSPC`, `ENOMEM` of `epoll_ctl`, `EPERM` for a file, with the descriptor.
    pub fn watch(&mut self, fd: ForeignFd) -> Result<usize, (Errno, ForeignFd)> {
        let entry = self.entries.vacant_entry();
        let index = entry.key();
        let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
        if let Err(errno) = self.poller.add(&fd, Token::Channel(index), flags) {
            return Err((errno, fd));
        }
        entry.insert(Entry::Watched(fd));
        Ok(index)
    }

    pub(super) fn is_watched(&self, index: usize) -> bool {
        matches!(self.entries.get(index), Some(Entry::Watched(_)))
    }

    /// Ends watching a descriptor, and returns it.
    pub fn unwatch(&mut self, index: usize) -> Option<ForeignFd> {
        let Some(Entry::Watched(fd)) = self.entries.get(index) else { return None };
        // Closing the descriptor would not remove the registration: its socket may be open in
        // another process.
        let _ = self.poller.remove(fd);
        match self.remove_entry(index) {
            Entry::Watched(fd) => Some(fd),
            Entry::Channel(_) | Entry::Listening(_) => None,
        }
    }
}
