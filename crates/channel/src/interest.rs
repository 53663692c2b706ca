//! The readiness for which a descriptor is registered with epoll.

use std::os::fd::AsFd;

use fdwire_socket::Errno;

use crate::poll::{EventFlags, Poller, Token};

/// The registered flags, which may be more than the channel waits for.
///
/// Read interest is removed lazily, when epoll reports unwanted readiness. Otherwise a consumer
/// that receives messages one by one would cost two `epoll_ctl` calls for each message.
pub(crate) struct Interest {
    registered: EventFlags,
}

impl Interest {
    /// No registration.
    pub(crate) const NONE: Self = Self { registered: EventFlags::empty() };

    /// Adds the flags that are not registered yet.
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

    /// Reduces the registration to `flags`.
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
            // Without flags, epoll would still report hang-ups and errors.
            (false, true) => poller.remove(fd)?,
            (false, false) => poller.modify(fd, token, flags)?,
        }
        self.registered = flags;
        Ok(())
    }
}
