//! What one descriptor is registered for in the epoll instance.

use std::os::fd::AsFd;

use fdwire_socket::Errno;

use crate::poll::{EventFlags, Poller, Token};

/// The registered flags, which may be more than the channel waits for.
///
/// Read interest is removed lazily, when an unwanted readiness comes: a consumer that takes
/// messages one by one would otherwise cost two `epoll_ctl` calls for each.
pub(crate) struct Interest {
    registered: EventFlags,
}

impl Interest {
    /// No registration.
    pub(crate) const NONE: Self = Self { registered: EventFlags::empty() };

    /// Adds what is not registered yet.
    pub(crate) fn raise(
        &mut self,
        poller: &Poller,
        fd: impl AsFd,
        token: Token,
        flags: EventFlags,
    ) -> Result<(), Errno> {
        if self.registered.contains(flags) {
            return Ok(());
        }
        self.set(poller, fd, token, self.registered | flags)
    }

    /// Removes what is not in `flags`.
    pub(crate) fn lower(
        &mut self,
        poller: &Poller,
        fd: impl AsFd,
        token: Token,
        flags: EventFlags,
    ) {
        if self.registered != flags {
            // Changing or removing a registration cannot fail.
            let _ = self.set(poller, fd, token, flags);
        }
    }

    /// Removes the registration.
    pub(crate) fn clear(&mut self, poller: &Poller, fd: impl AsFd) {
        if !self.registered.is_empty() {
            let _ = poller.remove(fd);
            self.registered = EventFlags::empty();
        }
    }

    fn set(
        &mut self,
        poller: &Poller,
        fd: impl AsFd,
        token: Token,
        flags: EventFlags,
    ) -> Result<(), Errno> {
        match (self.registered.is_empty(), flags.is_empty()) {
            (true, _) => poller.add(fd, token, flags)?,
            // Without flags epoll would still report a hang-up and errors.
            (false, true) => poller.remove(fd)?,
            (false, false) => poller.modify(fd, token, flags)?,
        }
        self.registered = flags;
        Ok(())
    }
}
