//! A listening socket in a reactor.

use std::os::fd::{AsFd, BorrowedFd};

use fdwire_socket::{Accepted, Errno, Listener};
use fdwire_wire::Protocol;

use crate::interest::Interest;
use crate::limits::Limits;
use crate::poll::{EventFlags, Poller, Token};
use crate::singles::Singles;
use crate::stream::Framing;

/// The messages of a listener's connections.
#[derive(Clone, Debug)]
pub enum Connection {
    /// The connections are streams.
    Stream(Framing),
    /// The connections are seqpacket sockets.
    Seqpacket(Protocol),
}

/// A listening socket, with what its connections get.
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

    /// Removes the bound path, if any. The socket stays open.
    pub(crate) fn unlink(&mut self) {
        self.socket.unlink();
    }

    /// Accepts the next connection. Returns None if there is none, or none may be accepted.
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
                // The client has closed the connection before it was accepted.
                Err(Errno::CONNABORTED | Errno::PROTO) => {}
                Err(errno) => return Err(errno),
            }
        }
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
