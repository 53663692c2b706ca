//! The registration of a channel with the epoll instances.

use std::time::Instant;

use fdwire_socket::Errno;

use super::Channel;
use crate::Site;
use crate::poll::{EventFlags, Token};
use crate::transport::on_transport;

impl Channel {
    /// Registers the readiness that the channel waits for, and lets the clocks of its deadlines run
    /// accordingly.
    pub(crate) fn arm(&mut self, site: Site<'_>) -> Result<(), Errno> {
        if let Some(datagrams) = self.transport.datagrams_mut() {
            datagrams.watch_write_space(site);
        }
        self.update_deadlines();
        let registered = self.raise(site);
        if registered.is_err()
            && let Some(datagrams) = self.transport.datagrams_mut()
            && datagrams.poll_by_timer(Instant::now())
        {
            // The queued message was accepted, so it must be sent: a timer replaces the
            // registration.
            return self.raise(site);
        }
        registered
    }

    /// Removes the channel from the epoll instances.
    pub(crate) fn disarm(&mut self, site: Site<'_>) {
        let Self { transport, interest, .. } = self;
        if let Some(fd) = on_transport!(&*transport, it => it.fd()) {
            interest.clear(site.poller, fd);
        }
        if let Some(datagrams) = transport.datagrams_mut() {
            datagrams.disarm(site);
        }
    }

    fn raise(&mut self, site: Site<'_>) -> Result<(), Errno> {
        let (desired, token) = (self.desired(), Token::Channel(site.index));
        let Self { transport, interest, .. } = self;
        let fd = on_transport!(&*transport, it => it.fd());
        fd.map_or(Ok(()), |fd| interest.raise(site.poller, fd, token, desired))
    }

    pub(super) fn lower(&mut self, site: Site<'_>) {
        let (desired, token) = (self.desired(), Token::Channel(site.index));
        let Self { transport, interest, .. } = self;
        if let Some(fd) = on_transport!(&*transport, it => it.fd()) {
            interest.lower(site.poller, fd, token, desired);
        }
    }

    /// Returns the readiness that the channel waits for.
    pub(super) fn desired(&self) -> EventFlags {
        let mut flags = on_transport!(&self.transport, it => it.desired(self.reads()));
        // Epoll reports a hang-up of every registered descriptor. This flag registers it.
        flags.set(EventFlags::HUP, self.watches_hang_up);
        flags
    }
}
