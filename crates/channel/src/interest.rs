//! What the poller has been asked for on one descriptor.

use std::os::fd::AsFd;

use fdwire_socket::Errno;

use crate::poll::{EventFlags, Poller, Token};

/// The flags that the poller has, which may be more than are wanted.
///
/// What is not wanted any more stays asked for until it comes: a consumer that takes one message
/// after the other would else cost two system calls for each.
pub(crate) struct Interest {
    asked: EventFlags,
}

impl Interest {
    pub(crate) const NONE: Self = Self { asked: EventFlags::empty() };

    /// Asks for what is wanted and not asked for yet.
    pub(crate) fn raise(
        &mut self,
        poller: &Poller,
        fd: impl AsFd,
        token: Token,
        wanted: EventFlags,
    ) -> Result<(), Errno> {
        if self.asked.contains(wanted) {
            return Ok(());
        }
        self.set(poller, fd, token, self.asked | wanted)
    }

    /// Asks for nothing but what is wanted.
    pub(crate) fn lower(
        &mut self,
        poller: &Poller,
        fd: impl AsFd,
        token: Token,
        wanted: EventFlags,
    ) {
        if self.asked != wanted {
            // With nothing wanted the descriptor leaves the set: an end or error would be reported
            // always. A descriptor that is in the set can be changed and removed.
            let _ = self.set(poller, fd, token, wanted);
        }
    }

    /// Leaves the poller's set.
    pub(crate) fn clear(&mut self, poller: &Poller, fd: impl AsFd) {
        if !self.asked.is_empty() {
            let _ = poller.remove(fd);
            self.asked = EventFlags::empty();
        }
    }

    fn set(
        &mut self,
        poller: &Poller,
        fd: impl AsFd,
        token: Token,
        flags: EventFlags,
    ) -> Result<(), Errno> {
        match (self.asked.is_empty(), flags.is_empty()) {
            (true, _) => poller.add(fd, token, flags)?,
            (false, true) => poller.remove(fd)?,
            (false, false) => poller.modify(fd, token, flags)?,
        }
        self.asked = flags;
        Ok(())
    }
}
