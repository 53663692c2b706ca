//! A listening socket in a reactor.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use fdwire_socket::{Accepted, Errno, Listener};
use fdwire_wire::Protocol;

use crate::interest::Interest;
use crate::limits::Limits;
use crate::poll::{EventFlags, Poller, Token};
use crate::singles::Singles;
use crate::stream::Framing;

/// The errors of accept4 that belong to the connection that it would have returned. accept(2) says
/// to treat them like EAGAIN: Linux returns pending network errors of the new socket, and some
/// kernels return more errors.
const LOST: [Errno; 13] = [
    Errno::CONNABORTED,
    Errno::PROTO,
    Errno::NETDOWN,
    Errno::NOPROTOOPT,
    Errno::HOSTDOWN,
    Errno::NONET,
    Errno::HOSTUNREACH,
    Errno::OPNOTSUPP,
    Errno::NETUNREACH,
    Errno::NOSR,
    Errno::SOCKTNOSUPPORT,
    Errno::PROTONOSUPPORT,
    Errno::TIMEDOUT,
];

/// Maximum number of consecutive lost connections that one turn skips.
const LOST_MAX: usize = 64;

/// The type and framing of a listener's connections.
#[derive(Clone, Debug)]
pub enum Connection {
    /// The connections are streams.
    Stream(Framing),
    /// The connections are seqpacket sockets.
    Seqpacket(Protocol),
    /// The connections are not read here: the caller gets their descriptors.
    Unread,
}

/// A listening socket with the settings of its connections.
pub struct Listening {
    /// How many more connections may be accepted.
    pub(crate) allowed: usize,
    pub(crate) connection: Connection,
    pub(crate) limits: Limits,
    pub(crate) singles: Singles,
    interest: Interest,
    socket: Listener,
}

impl Listening {
    /// Creates a listener over `socket`.
    #[must_use]
    pub fn new(socket: Listener, connection: Connection, limits: Limits) -> Self {
        let (singles, interest) = (Singles::default(), Interest::NONE);
        Self { allowed: 0, connection, limits, singles, interest, socket }
    }

    /// Returns the socket.
    pub fn socket(&self) -> &Listener {
        &self.socket
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Removes the path that the socket is bound to, if any. The socket stays open.
    pub(crate) fn unlink(&mut self) {
        self.socket.unlink();
    }

    /// Accepts the next connection. Returns None if no connection waits or may be accepted.
    ///
    /// # Errors
    ///
    /// Those of accept4 that concern the listener, not one connection.
    pub(crate) fn accept(&mut self) -> Result<Option<Accepted>, Errno> {
        self.accept_with(Listener::accept)
    }

    /// Accepts the descriptor of the next connection, as [`accept`](Self::accept) does.
    ///
    /// # Errors
    ///
    /// Those of [`accept`](Self::accept).
    pub(crate) fn accept_fd(&mut self) -> Result<Option<OwnedFd>, Errno> {
        self.accept_with(Listener::accept_fd)
    }

    fn accept_with<T>(
        &mut self,
        accept: impl Fn(&Listener) -> Result<T, Errno>,
    ) -> Result<Option<T>, Errno> {
        if self.allowed == 0 {
            return Ok(None);
        }
        let accepted = first_accepted(|| accept(&self.socket))?;
        self.allowed -= usize::from(accepted.is_some());
        Ok(accepted)
    }

    /// Registers for connections, if any may be accepted.
    pub(crate) fn arm(&mut self, poller: &Poller, index: usize) -> Result<(), Errno> {
        let token = Token::Channel(index);
        if self.allowed == 0 {
            self.interest.lower(poller, &self.socket, token, EventFlags::empty());
            return Ok(());
        }
        self.interest.raise(poller, &self.socket, token, EventFlags::IN)
    }

    pub(crate) fn disarm(&mut self, poller: &Poller) {
        self.interest.clear(poller, &self.socket);
    }
}

/// Calls `accept` until it returns a connection that is not lost, or no connection waits.
fn first_accepted<T>(mut accept: impl FnMut() -> Result<T, Errno>) -> Result<Option<T>, Errno> {
    for _ in 0..LOST_MAX {
        match accept() {
            Ok(accepted) => return Ok(Some(accepted)),
            Err(Errno::AGAIN) => return Ok(None),
            Err(errno) if LOST.contains(&errno) => {}
            Err(errno) => return Err(errno),
        }
    }
    // The listener is still readable, and continues in its next turn.
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_one_connection_does_not_concern_the_next_one() {
        for errno in LOST {
            let mut results = [Err(errno), Err(errno), Ok("next"), Err(Errno::AGAIN)].into_iter();
            let mut accept = || results.next().unwrap_or(Err(Errno::BADF));
            assert_eq!(first_accepted(&mut accept), Ok(Some("next")), "{errno}");
            assert_eq!(first_accepted(&mut accept), Ok(None), "{errno}");
            // An error that never ends does not block the loop.
            assert_eq!(first_accepted(|| Err::<(), _>(errno)), Ok(None), "{errno}");
        }
    }

    #[test]
    fn the_errors_of_the_listener_are_returned() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::PERM] {
            assert_eq!(first_accepted(|| Err::<(), _>(errno)), Err(errno));
        }
        assert_eq!(first_accepted(|| Err::<(), _>(Errno::INVAL)), Err(Errno::INVAL));
    }
}
