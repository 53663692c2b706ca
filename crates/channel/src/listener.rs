//! A socket that accepts connections, while somebody wants them.

use std::os::fd::{AsFd, BorrowedFd};

use fdwire_socket::{Accepted, Bound, Errno, Listener};

use fdwire_wire::Protocol;

use crate::interest::Interest;
use crate::limits::Limits;
use crate::poll::{EventFlags, Poller, Token};
use crate::stream::Framing;

/// Connections that one turn accepts at the most.
pub(crate) const ACCEPTS: usize = 64;

/// What the messages of a listener's connections are.
#[derive(Clone, Debug)]
pub enum Connection {
    /// Streams.
    Stream(Framing),
    /// Seqpacket sockets.
    Seqpacket(Protocol),
}

/// A listening socket, and what its connections will be.
pub struct Listening {
    /// How many connections may be accepted.
    pub(crate) allowed: usize,
    pub(crate) connection: Connection,
    pub(crate) limits: Limits,
    interest: Interest,
    // The name is removed before the socket closes: whoever finds it finds a live socket.
    bound: Option<Bound>,
    socket: Listener,
}

impl Listening {
    /// A listener over `socket`, which was bound by `bound` where it has a path.
    #[must_use]
    pub fn new(
        socket: Listener,
        bound: Option<Bound>,
        connection: Connection,
        limits: Limits,
    ) -> Self {
        Self { allowed: 0, connection, limits, interest: Interest::NONE, bound, socket }
    }

    /// The socket.
    pub fn socket(&self) -> &Listener {
        &self.socket
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Removes the name now, if it is a path that we bound; the socket stays.
    pub(crate) fn unlink(&mut self) {
        self.bound = None;
    }

    /// The next connection; None when there is none, or none is wanted.
    pub(crate) fn accept(&mut self) -> Result<Option<Accepted>, Errno> {
        if self.allowed == 0 {
            return Ok(None);
        }
        loop {
            match self.socket.accept() {
                Ok(accepted) => {
                    self.allowed -= 1;
                    return Ok(Some(accepted));
                }
                Err(Errno::AGAIN) => return Ok(None),
                // It has gone again before anybody came for it.
                Err(Errno::CONNABORTED | Errno::PROTO) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// Asks the poller for connections, if they are wanted.
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
